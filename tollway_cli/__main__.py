from tollway_cli.main import main

main()
