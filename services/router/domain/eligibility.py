"""Who can answer a question at all."""

from __future__ import annotations

from services.router.domain.needs import Needs
from services.router.domain.routes import Deployment


def lacking(deployment: Deployment, needs: Needs) -> tuple[str, ...]:
    """The features that the question needs and the deployment does not have."""
    can = deployment.can
    return () if can is None else tuple(feature for feature in needs.features if feature not in can)


def is_too_small(deployment: Deployment, needs: Needs) -> bool:
    """Whether the question cannot fit into the window, with the answer it asks for, however its tokens are counted."""
    window = deployment.context
    return window is not None and needs.fewest_input_tokens + needs.output_tokens > window


def may_be_too_small(deployment: Deployment, needs: Needs) -> bool:
    """Whether the question is likely not to fit: worth asking, but only when nobody with more room can answer."""
    window = deployment.context
    return window is not None and needs.input_tokens + needs.output_tokens > window
