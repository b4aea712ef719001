"""How it looks: words, tables and charts, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crmlib.look.words import Words


def begin(currency: str, names: Mapping[str, object]) -> Words:
    """Set the look of this session and give the words for amounts in a currency, about these names; once, in a notebook's opening cell."""
    from crmlib.look.drawing import apply_look
    from crmlib.look.words import Words

    apply_look()
    return Words(currency, names)
