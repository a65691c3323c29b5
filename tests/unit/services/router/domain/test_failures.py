"""Design, section 4: the table of failures, row by row, as it stands there."""

from __future__ import annotations

import pytest

from mesh.errors import Reason
from services.router.domain.failures import TABLE, Breaks, Meaning, Midway, Then

ANY, NONE, LARGER = Then.ANYBODY, Then.NOBODY, Then.LARGER_WINDOW
COUNTS, OPENS, NOT = Breaks.COUNTS, Breaks.CREDENTIAL, Breaks.NOT
LAW, ELSEWHERE, TELL = Midway.CONTINUE, Midway.CONTINUE_ELSEWHERE, Midway.TELL

ROWS = {
    # 429, 500, 502, 503, 504, 529, connection reset or refused
    Reason.UPSTREAM_RATE_LIMITED: Meaning(True, ANY, COUNTS, LAW),
    Reason.UPSTREAM_FAILED: Meaning(True, ANY, COUNTS, LAW),
    Reason.UPSTREAM_UNREACHABLE: Meaning(True, ANY, COUNTS, LAW),
    # silence: no headers, no first content, or a stall between events; a call that used up its own limit
    Reason.UPSTREAM_SILENT: Meaning(False, ANY, COUNTS, ELSEWHERE),
    Reason.DEADLINE_EXCEEDED: Meaning(False, ANY, COUNTS, ELSEWHERE),
    # cut mid-stream: by the third law
    Reason.UPSTREAM_CUT: Meaning(True, ANY, COUNTS, LAW),
    # malformed event: before content as a reset, after it by the third law
    Reason.UPSTREAM_MALFORMED: Meaning(True, ANY, COUNTS, LAW),
    # context length exceeded: the next one whose window is larger or unknown
    Reason.CONTEXT_LENGTH_EXCEEDED: Meaning(False, LARGER, NOT, ELSEWHERE),
    # content filter, refusal by policy
    Reason.CONTENT_FILTERED: Meaning(False, NONE, NOT, TELL),
    # 400, 404, 422; 404 of an upstream model: yes
    Reason.UPSTREAM_REJECTED: Meaning(False, NONE, NOT, TELL),
    Reason.UPSTREAM_MODEL_NOT_FOUND: Meaning(False, ANY, NOT, ELSEWHERE),
    # 401, 402, and 403 that names the credential: opens, per credential
    Reason.UPSTREAM_CREDENTIALS: Meaning(False, ANY, OPENS, ELSEWHERE),
    # other 403
    Reason.UPSTREAM_FORBIDDEN: Meaning(False, ANY, NOT, ELSEWHERE),
    # the provider service itself, which is no deployment
    Reason.SERVICE_UNAVAILABLE: Meaning(True, ANY, NOT, LAW),
    Reason.CANCELLED: Meaning(True, ANY, NOT, LAW),
    Reason.PROVIDER_NOT_CONFIGURED: Meaning(False, ANY, NOT, ELSEWHERE),
    Reason.UNSUPPORTED_FEATURE: Meaning(False, ANY, NOT, ELSEWHERE),
    Reason.INTERNAL: Meaning(False, ANY, NOT, ELSEWHERE),
    # an answer that ended where its reservation did: the same again, with more reserved, or gone on with by prefill
    Reason.RESERVATION_EXCEEDED: Meaning(True, NONE, NOT, Midway.PREFILL),
}


@pytest.mark.parametrize("reason", Reason)
def test_each_failure_means_what_the_design_says(reason: Reason) -> None:
    assert TABLE[reason] == ROWS.get(reason, Meaning(False, NONE, NOT, TELL))
