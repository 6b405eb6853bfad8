"""The options that say which part of the nation a command is about: `--where` and its short forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from inventories.asking import parse
from inventories.selecting import EVERYTHING, Comparison, Selection, condition

WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="SELECTION",
        help="Only what fits, such as 'level=commune & province=19 & !name~phu'. Signs: = != ~ (contains) ^= (starts "
        "with) >= <= & | ! ( ). `cgc nation show facts` lists the facts. Several values: 19,92.",
    ),
]
LevelOption = Annotated[
    str | None, typer.Option("--level", metavar="LEVEL", help="Only country, province, district or commune.")
]
ProvinceOption = Annotated[
    str | None,
    typer.Option("--province", metavar="CODE|NAME", help="Only in this province; a name may lack its marks."),
]
RegionOption = Annotated[str | None, typer.Option("--region", metavar="REGION", help="Only north, central or south.")]
PlaneOption = Annotated[
    str | None, typer.Option("--plane", metavar="PLANE", help="Only in this plane of the backbone.")
]
TierOption = Annotated[str | None, typer.Option("--tier", metavar="TIER", help="Only of this tier: cgc, agc or egc.")]
RoleOption = Annotated[
    str | None, typer.Option("--role", metavar="ROLE", help="Only nodes of this role, and what has one.")
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was given; several values may stand in a short form, with commas between."""

    where: str | None = None
    level: str | None = None
    province: str | None = None
    region: str | None = None
    plane: str | None = None
    tier: str | None = None
    role: str | None = None

    @property
    def selection(self) -> Selection:
        """All of it together; InventoryError where it cannot be read."""
        found = EVERYTHING if self.where is None else parse(self.where)
        for fact in ("level", "province", "region", "plane", "tier", "role"):
            given: str | None = getattr(self, fact)
            if given is not None:
                values = tuple(value.strip() for value in given.split(","))
                found &= condition(fact, Comparison.IN, values, place=f"--{fact}")
        return found

    @property
    def is_everything(self) -> bool:
        """Whether nothing was left out."""
        return self == Asked()
