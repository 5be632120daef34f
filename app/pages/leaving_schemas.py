"""What the API shows of why people left."""

from pydantic import BaseModel, ConfigDict, Field


class LeavingReasons(BaseModel):
    """How many unsubscribed through a mailing's links and did not take it back, by the reason they gave."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"left": 12, "too_many": 4, "not_for_me": 1, "never_asked": 0, "other": 1, "gave_none": 6}]
        }
    )

    left: int = Field(description="The sum of the others")
    too_many: int
    not_for_me: int
    never_asked: int
    other: int
    gave_none: int
