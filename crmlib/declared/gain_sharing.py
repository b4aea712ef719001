"""gain_sharing.yml: the policy by which gains of joint improvements are shared, and the projects it is used on."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from crmlib.declared.judgement import Record, Text
from crmlib.declared.reading import each_once

Share = Annotated[Decimal, Field(ge=0, le=1)]
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


When = Annotated[str, BeforeValidator(lambda text: str(text) if isinstance(text, int) else text)]  # 2024 is a period


class Policy(Record):
    """By what rule gains are shared."""

    our_share: Share = Field(
        Decimal("0.5"), description="our part of the joint gain, after both have recovered what they invested"
    )
    shortfall: Literal["shared", "each its own"] = Field(
        "shared", description="shared: the part stays a share of what is really gained, a loss too; each its own: the payment agreed stays as it is"
    )  # fmt: skip
    least_gain: Amount = Field(Decimal(0), description="joint gain, as present value, below which nothing is shared")
    measured_by: str = Field("", description="who measures, and how often")


class Saving(Record):
    """A line of our statement that the project lowers for the account."""

    line: Text = Field(description="id of a cost line of the statement")
    driver: Literal["units", "orders", "invoice_lines", "credits", "sales", "net_sales", ""] = Field(
        "", description="what the line would have moved with anyway; blank: nothing"
    )  # fmt: skip
    expected_share: Share = Field(description="share of the line that is expected to be saved")


class Project(Record):
    """One joint improvement with an account."""

    project: Text = Field(description="its name in the reports")
    account: Text = Field(description="customer_id of the account")
    baseline: When = Field(description="period before the improvement, such as 2024")
    measured: When = Field("", description="period of the same length with it; blank: not yet")
    years: int = Field(ge=1, le=20, description="for how many years the gain counts, and the investment is written off")
    savings: Annotated[tuple[Saving, ...], Field(min_length=1)] = Field(
        description="lines of our statement that it lowers"
    )
    our_investment: Amount = Field(description="what we invest")
    their_investment: Amount = Field(description="what they invest")
    their_gain: Annotated[Decimal, Field(allow_inf_nan=False)] = Field(
        description="what they gain a year before tax, as they say"
    )
    their_cost_of_capital: Annotated[Decimal, Field(gt=0, le=1)] = Field(description="after tax, a year")
    their_tax_rate: Annotated[Decimal, Field(ge=0, lt=1)] = Field(description="flat")


class GainSharing(Record):
    """gain_sharing.yml."""

    policy: Policy = Field(default_factory=lambda: Policy.model_validate({}))
    projects: Annotated[tuple[Project, ...], each_once("project")] = ()
