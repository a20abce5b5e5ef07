"""Everything known of one thing, as a tree: a log entry, a VM, a cell. Enter on a field filters by it, `y` copies it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from console.widgets.figures import UNKNOWN, format_moment, one_line

_DEEPEST = 12


@dataclass(frozen=True, slots=True)
class _Look:
    """What the branches of one tree share."""

    width: int
    """Cells for a value."""
    quiet: Style


class DetailScreen(ModalScreen[str | None]):
    """A modal; its result is a filter such as `vm:"shard-7"` or its negation, or None."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the buttons and boxes inside.
    CSS = """
    DetailScreen { align: center middle; background: $background 60%; }
    DetailScreen > Vertical {
        width: 92%;
        max-width: 130;
        height: 90%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    DetailScreen .detail--title { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    DetailScreen .detail--hint { height: 1; color: $quiet; }
    DetailScreen Tree { height: 1fr; background: $surface; color: $foreground; padding: 0; scrollbar-size: 1 1; }
    DetailScreen Tree:focus { background-tint: transparent; }
    DetailScreen Tree > .tree--guides { color: $rule; }
    DetailScreen Tree:focus > .tree--cursor { background: $row-cursor; color: $foreground; text-style: bold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace", "close", "Close"),
        Binding("y", "copy", "Copy"),
        Binding("minus", "hide", "Hide what has it"),
    ]

    class CopyRequested(Message):
        """Copy this text; the app knows the way out of this terminal."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, title: str, record: Mapping[str, object]) -> None:
        """
        Args:
            title: One line.
            record: Fields by name; values may be mappings, sequences, text, numbers, times.
        """
        super().__init__()
        self._title_text = title
        self._record = record

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(one_line(self._title_text), classes="detail--title", markup=False)
            tree: Tree[tuple[str, object]] = Tree("")
            tree.show_root = False
            tree.guide_depth = 2
            yield tree
            yield Static("enter filters by it · - hides what has it · y copies · esc closes", classes="detail--hint", markup=False)

    def on_mount(self) -> None:
        tree = self._tree()
        wide = max(20, min(self.size.width * 92 // 100, 130) - 26)
        quiet = Style(color=self.app.theme_variables["quiet"])
        _grow(tree.root, self._record, "", _Look(wide, quiet), 0)
        tree.root.expand()
        tree.focus()
        # The tree has no lines before it is laid out.
        self.call_after_refresh(tree.move_cursor_to_line, 0)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        node = self._tree().cursor_node
        if node is not None and node.data is not None:
            self.post_message(self.CopyRequested(_as_text(node.data[1])))

    def action_hide(self) -> None:
        node = self._tree().cursor_node
        if node is not None and node.data is not None and not node.allow_expand:
            self.dismiss(f"-{filter_for(*node.data)}")

    def on_tree_node_selected(self, event: Tree.NodeSelected[tuple[str, object]]) -> None:
        data = event.node.data
        if data is not None and not event.node.allow_expand:
            self.dismiss(filter_for(*data))

    def _tree(self) -> Tree[tuple[str, object]]:
        return self.query_one(Tree)


def filter_for(field: str, value: object) -> str:
    """The filter that finds other rows with this value."""
    text = _as_text(value).splitlines()[0] if _as_text(value) else ""
    text = text.replace('"', " ").strip()[:120]
    return f'{field}:"{text}"' if text else f"{field}:/^$/"


def _grow(node: TreeNode[tuple[str, object]], record: Mapping[str, object], path: str, look: _Look, depth: int) -> None:
    name_width = min(24, max((len(str(name)) for name in record), default=0))
    for name, value in record.items():
        field = f"{path}.{name}" if path else str(name)
        title = one_line(str(name))
        inner = _inner(value) if depth < _DEEPEST else None
        if inner is not None:
            label = Text.assemble((title, "bold"), (f"  {len(inner)}", look.quiet))
            _grow(node.add(label, (field, value), expand=True), inner, field, look, depth + 1)
            continue
        first, *more = _lines(format_moment(value) if isinstance(value, datetime) else value, look.width)
        label = Text.assemble((f"{title:<{name_width}}  ", look.quiet), first)
        if not more:
            node.add_leaf(label, (field, value))
            continue
        branch = node.add(label, (field, value), expand=True)
        for line in more:
            branch.add_leaf(Text(line), (field, value))


def _inner(value: object) -> Mapping[str, object] | None:
    """The fields of a mapping, or a sequence numbered from 0; None if it is one value."""
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()} if value else None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and value:
        return {str(number): each for number, each in enumerate(value)}
    return None


def _lines(value: object, wide: int) -> list[str]:
    """A value as lines that fit; at least one."""
    lines: list[str] = []
    for line in _as_text(value).splitlines():
        safe = one_line(line)
        lines += textwrap.wrap(safe, wide, drop_whitespace=False, break_on_hyphens=False) or [""]
    return lines or [""]


def _as_text(value: object) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
