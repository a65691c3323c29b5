"""The tables of attempts and prices, and the first prices."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UUID = sa.String(36).with_variant(sa.Uuid(as_uuid=False), "postgresql")
_MOMENT = sa.DateTime(timezone=True)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

# Provider ("": whoever provides it), model, nano-USD per 1M tokens in and out, context window in tokens.
_FIRST_PRICES = (
    ("", "z-ai/glm-4.6", 100_000, 200_000, 128_000),
    ("", "deepseek-ai/DeepSeek-V3.1-Terminus", 300_000, 500_000, 64_000),
    ("", "moonshotai/Kimi-K2-Instruct-0905", 500_000, 1_000_000, 200_000),
    # A thousandth of a dollar a token, so that a few words make a sum one can see.
    ("sim", "*", 1_000_000_000_000, 2_000_000_000_000, 0),
)


def upgrade() -> None:
    op.create_table(
        "request_logs",
        sa.Column("attempt_id", _UUID, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("span_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("timestamp", _MOMENT, nullable=False),
        sa.Column("end_time", _MOMENT, nullable=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("api_key_id", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("model_requested", sa.Text, nullable=False),
        sa.Column("model_used", sa.Text, nullable=False),
        sa.Column("model_provider", sa.Text, nullable=False),
        sa.Column("provider_name", sa.Text, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("attempt_number", sa.Integer, nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=True),
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=True),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=True),
        sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=True),
        sa.Column("output_tokens", sa.BigInteger, nullable=True),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=True),
        sa.Column("input_audio_tokens", sa.BigInteger, nullable=True),
        sa.Column("output_audio_tokens", sa.BigInteger, nullable=True),
        sa.Column("input_image_tokens", sa.BigInteger, nullable=True),
        sa.Column("output_image_tokens", sa.BigInteger, nullable=True),
        sa.Column("accepted_prediction_tokens", sa.BigInteger, nullable=True),
        sa.Column("rejected_prediction_tokens", sa.BigInteger, nullable=True),
        sa.Column("usage_extra", sa.Text, nullable=False),
        sa.Column("cost_nanos", sa.BigInteger, nullable=True),
        sa.Column("provenance", sa.Text, nullable=False),
        sa.Column("price_version", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error_reason", sa.Text, nullable=False),
        sa.Column("upstream_status", sa.Integer, nullable=True),
        sa.Column("upstream_request_id", sa.Text, nullable=False),
        sa.Column("response_time_ms", sa.BigInteger, nullable=True),
        sa.Column("time_to_first_token_ms", sa.BigInteger, nullable=True),
        sa.Column("finish_reason", sa.Text, nullable=False),
    )
    op.create_index("ix_request_logs_timestamp", "request_logs", ["timestamp"])
    op.create_index("ix_request_logs_provider_name", "request_logs", ["provider_name", "timestamp"])
    op.create_index("ix_request_logs_request_id", "request_logs", ["request_id"])
    prices = op.create_table(
        "model_pricing",
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("provider_name", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("effective_time", _MOMENT, nullable=False),
        sa.Column("input_cost_per_1m_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_cost_per_1m_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_input_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("cache_write_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("cache_write_1h_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("reasoning_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("input_audio_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("output_audio_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("input_image_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("output_image_cost_per_1m_tokens", sa.BigInteger, nullable=True),
        sa.Column("max_context_tokens", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("model_name", "provider_name", "effective_time", name="uq_model_pricing_model_name"),
    )
    op.bulk_insert(
        prices,
        [
            {
                "version": f"{provider or '*'}/{model}@1970-01-01T00:00:00Z",
                "provider_name": provider,
                "model_name": model,
                "effective_time": _BEGINNING,
                "input_cost_per_1m_tokens": input_nanos,
                "output_cost_per_1m_tokens": output_nanos,
                "max_context_tokens": context,
            }
            for provider, model, input_nanos, output_nanos, context in _FIRST_PRICES
        ],
    )


def downgrade() -> None:
    """Back to an empty database; nobody but an operator asks for it."""
    op.drop_table("model_pricing")
    op.drop_table("request_logs")
