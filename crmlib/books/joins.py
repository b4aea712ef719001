"""Tables joined by key, such as the header of a document to its lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from crmlib.books.columns import column_missing
from crmlib.books.findings import Finding, shortened
from crmlib.books.ledger import Rows, identifier, rows_of
from crmlib.books.raw import Raw, Reader


def joined(reader: Reader, raw: Raw, table: str, others: Mapping[str, Raw]) -> Raw:
    """A table with the columns of those that it names by key: `headers.column`, and by name alone where that is unique."""
    findings = [f for one in (raw, *others.values()) for f in one.findings]
    left, rights = raw.table, {name: one.table for name, one in others.items() if one.table is not None}
    if left is None or len(rights) < len(others):
        return Raw(findings=tuple(findings))
    every = [c for one in (left, *rights.values()) for c in one.columns]
    for name, right in rights.items():
        alias, keys = re.sub(r"\.(csv|parquet)$", "", name), reader.engagement.table(table).join[name]
        sides = ((left, keys.keys()), (right, keys.values()))
        absent = [
            f
            for side, wanted in sides
            for c in wanted
            if c not in side.columns
            for f in column_missing(reader, table, c, side)
        ]
        if absent:
            return Raw(findings=(*findings, *absent))
        findings += _broken_joins(reader, left, right, keys, table)
        own = [c for c in right.columns if not c.startswith("_")]
        columns = [f"r.{identifier(c)} AS {identifier(f'{alias}.{c}')}" for c in own]
        columns += [f"r.{identifier(c)}" for c in own if every.count(c) == 1]
        left = rows_of(reader.con, f"SELECT l.*, {', '.join(columns)} FROM {_sides('LEFT', left, right, keys)}")
    return replace(raw, table=left, findings=tuple(findings), text=True, in_order="")


def _sides(how: str, left: Rows, right: Rows, keys: Mapping[str, str]) -> str:
    """Two tables by their keys, without the blanks around them; a blank key finds nothing."""
    pairs = [(f"trim(l.{identifier(a)}::VARCHAR)", f"trim(r.{identifier(b)}::VARCHAR)") for a, b in keys.items()]
    on = " AND ".join(f"{ours} = {theirs} AND {ours} <> ''" for ours, theirs in pairs)
    return f"({left.query}) l {how} JOIN ({right.query}) r ON {on}"


def _broken_joins(reader: Reader, left: Rows, right: Rows, keys: Mapping[str, str], table: str) -> list[Finding]:
    """Rows that find nothing by their key, and rows of the other table that have the key of an earlier one."""
    by = ", ".join(map(identifier, keys.values()))
    again = rows_of(
        reader.con, f"FROM ({right.query}) QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY _file, _row) > 1"
    )
    lost = f"its {', '.join(keys)} is not there; what comes from there is blank", "add the row there, or mend the key"
    twice = "the key of an earlier row: a row would find two", "keep one row of each key, or join by more columns"
    told = (
        ("warn", "join-unmatched", *lost, keys, _sides("ANTI", left, right, keys)),
        ("reject", "join-twice", *twice, keys.values(), _sides("SEMI", again, left, {b: a for a, b in keys.items()})),
    )
    findings = []
    for verdict, code, message, way_out, columns, sides in told:
        value = f"concat_ws(' ', {', '.join(f'l.{identifier(c)}' for c in columns)})"
        query = f"SELECT l._file, l._row, {value}, count(*) OVER () FROM {sides} ORDER BY 1, 2 LIMIT 1"
        for file, row, key, count in reader.con.execute(query).fetchall():
            place = {
                "table": table,
                "file": file,
                "row": row,
                "column": ", ".join(columns),
                "value": shortened(key),
                "count": count,
            }
            findings.append(Finding(verdict, code, message, way_out, **place))
    return findings
