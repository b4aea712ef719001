"""How it looks: words, tables and charts, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crmlib.look.words import Words


def begin(currency: str, names: Mapping[str, object], *, costed: bool = True) -> Words:
    """Set the look of this session and give the words for amounts in a currency, about these names; once, in a notebook's opening cell.

    Where nothing is `costed` customers buy and return; they contribute and lose where books know of costs.
    """
    from crmlib.look.drawing import apply_look
    from crmlib.look.words import Words

    apply_look()
    return Words(currency, names, costed)
