"""The payload of a newsletter's job: its actions, in their order, and their settings. App and handler share it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Action = Literal["scrape", "generate", "send"]


class Config(BaseModel):
    """Settings of the actions."""

    model_config = ConfigDict(extra="forbid")

    sources: list[Annotated[str, Field(max_length=60)]] = Field(
        default_factory=list, max_length=50, description="names of the workspace's sources; none means all"
    )
    max_items: int = Field(default=15, ge=1, le=100)
    days_back: float = Field(default=1, gt=0, le=92)
    title: str = Field(default="News", min_length=1, max_length=200)


class Newsletter(BaseModel):
    """The payload of the handler `newsletter`."""

    model_config = ConfigDict(extra="forbid")

    actions: list[Action] = Field(default=["scrape", "generate", "send"], min_length=1, max_length=3)
    config: Config = Field(default_factory=Config)


class Item(BaseModel):
    """One news."""

    title: str
    link: str
    source: str
    published: str
