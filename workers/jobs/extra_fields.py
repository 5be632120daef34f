"""Jobs of extra fields."""

from app.contacts.extra_fields import drop_with_values
from workers.context import Context, JobRun


async def drop_extra_field(context: Context, run: JobRun) -> None:
    """Delete an extra field with its values."""
    await drop_with_values(context.database, field_id=run.args["field"], operation_id=run.args["operation"])
