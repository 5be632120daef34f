"""Checking sending domains: DNS is asked without holding a connection (D6)."""

from app.domains.checking import conclude, subject_of
from app.domains.checks import check, dns_of, us_of
from app.platform.operations import OperationState, close_operation
from workers.context import Context, JobRun


async def check_domain(context: Context, run: JobRun) -> None:
    """Ask DNS about a domain and store the verdict; with an operation, tell it. A check may be repeated."""
    settings, operation_id = context.settings, run.args.get("operation")
    async with context.database.begin() as session:
        subject = await subject_of(session, domain_id=run.args["domain"])
    report = None
    if subject is not None:
        report = await check(
            subject, dns=dns_of(settings), us=us_of(settings), return_domain=settings.return_domain
        )  # fmt: skip
    async with context.database.begin() as session:
        concluded = None
        if subject is not None and report is not None:
            concluded = await conclude(session, subject=subject, report=report, settings=settings)
        if operation_id is not None and concluded is not None:
            result = {"verdict": concluded.verdict.value, "approved": concluded.approved}
            await close_operation(session, operation_id=operation_id, state=OperationState.SUCCEEDED, result=result)
        elif operation_id is not None:
            error = {"detail": "The sending domain was deleted."}
            await close_operation(session, operation_id=operation_id, state=OperationState.FAILED, error=error)
        await run.finish(session)
