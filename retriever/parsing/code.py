"""Source code: the stored text is the file's; classes, functions and their like are its sections.

A definition is a section with the names around it as its path, from the comment that stands right above it to its
last line; functions inside functions are no sections of their own. What stands between definitions is a section with
the path of what it is in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node, Parser

from retriever.parsing.languages import Language, grammar
from retriever.types import ParsedDocument, Section

LARGEST = 2_000_000  # bytes: a syntax tree takes 20 to 150 times its source in memory; what is longer was generated
_LONGEST_NAME = 200
_LONGEST_MARGIN = 300  # bytes looked at before and after a definition for the ends of its lines: minified code has none
# What a name of JavaScript may be given to be a definition.
_FUNCTIONS = frozenset(["arrow_function", "function_expression", "generator_function", "function", "class"])
_ARGUMENTS = re.compile(r"(?<=\w)\s*<.*>$")  # of a template
# What is left between definitions where only the ends of blocks are.
_ENDS = re.compile(r"(?:[\W_]|\b(?:end|endif|fi)\b)*")
_DECLARES = frozenset(["lexical_declaration", "variable_declaration", "expression_statement"])


@dataclass(frozen=True, kw_only=True)
class _Definition:
    """A definition as a range of bytes, inside those that `path` names before it."""

    path: tuple[str, ...]
    start: int
    end: int


def parse_code(text: str, language: Language) -> ParsedDocument:
    """A document of a normalized source file. Whatever is not valid in the language is kept and read as lines."""
    data = text.encode("utf-8")
    warnings: tuple[str, ...] = ()
    found: list[_Definition] = []
    if len(data) > LARGEST:
        warnings = (f"the file has more than {LARGEST:,} bytes: it was read by lines, without its definitions",)
    else:
        tree = Parser(grammar(language)).parse(data)
        found = sorted(_definitions(tree.root_node, language), key=lambda one: (one.start, -one.end))
    return ParsedDocument(
        text=text,
        media_type=language.media_type,
        title=None,
        sections=tuple(_sections(text, data, found)),
        warnings=warnings,
    )


def _definitions(root: Node, language: Language) -> Iterator[_Definition]:
    """The definitions of a file, those inside classes and modules too; walked by hand, as code nests without end."""
    waiting: list[tuple[Node, tuple[str, ...], Node | None, Node | None]] = [(root, (), None, None)]
    while waiting:
        # `lead` is the first of the comments right above the next node, `above` the node before it.
        parent, path, lead, above = waiting.pop()
        for node in _children(parent):
            adjacent = above is not None and node.start_point.row - _last_row(above) <= 1
            if node.type in language.leading:
                # One at the end of a line of code is about that line.
                begins = above is None or node.start_point.row > _last_row(above)
                lead = lead if adjacent and lead is not None else node if begins else None
                above = node
                continue
            inner = _unwrapped(node, language)
            if inner.type in language.scopes or inner.type in language.leaves:
                names = _names_of(inner)
                if names:
                    start = lead if adjacent and lead is not None else node
                    own = path + names
                    yield _Definition(path=own, start=start.start_byte, end=node.end_byte)
                    if inner.type in language.scopes:
                        waiting.append((inner, own, None, None))
            elif inner.type in language.through or inner.type == "ERROR":
                waiting.append((inner, path, lead, above))
            lead, above = None, node


def _children(parent: Node) -> Iterator[Node]:
    """The children of a node one at a time: a file may have a million."""
    cursor = parent.walk()
    going = cursor.goto_first_child()
    while going:
        if cursor.node is not None:
            yield cursor.node
        going = cursor.goto_next_sibling()


def _last_row(node: Node) -> int:
    """The last line that a node has something on: some comments end at the beginning of the next line."""
    end = node.end_point
    return end.row - 1 if end.column == 0 and end.row > node.start_point.row else end.row


def _unwrapped(node: Node, language: Language) -> Node:
    """The definition that a decorator, an export or a template is around; any other node itself."""
    while node.type in language.wrapped:
        inner = next(
            (
                child
                for child in node.named_children
                if child.type in language.scopes | language.leaves | language.wrapped
            ),
            None,
        )
        if inner is None:
            break
        node = inner
    return node


def _names_of(node: Node) -> tuple[str, ...]:
    """What a definition is called, from the outside in: `Stack.push`, where a language writes it so; () for none."""
    if node.type in _DECLARES:
        return _assigned(node)
    if node.type == "field_definition" or node.type == "public_field_definition":
        value = node.child_by_field_name("value")
        named = node.child_by_field_name("property") or node.child_by_field_name("name")
        return (_text(named),) if value is not None and named is not None and value.type in _FUNCTIONS else ()
    if node.type in ("struct_specifier", "union_specifier", "enum_specifier", "class_specifier"):
        named = node.child_by_field_name("name")
        return (_text(named),) if named is not None and node.child_by_field_name("body") is not None else ()
    if node.type == "impl_item":
        trait, kind = node.child_by_field_name("trait"), node.child_by_field_name("type")
        name = _text(kind) if kind is not None else "impl"
        return (f"{_text(trait)} for {name}",) if trait is not None else (name,)
    receiver = node.child_by_field_name("receiver")
    named = node.child_by_field_name("name") or _declared(node) or _specified(node)
    if named is None:
        return (node.type.replace("_", " "),) if node.type in ("companion_object", "singleton_class") else ()
    if receiver is not None:
        kinds = [child.child_by_field_name("type") for child in receiver.named_children]
        owner = next((_text(kind) for kind in kinds if kind is not None), "").lstrip("*").partition("[")[0]
        return (owner, _text(named)) if owner else (_text(named),)
    return tuple(_ARGUMENTS.sub("", part) for part in _text(named).split("::") if part)


def _assigned(node: Node) -> tuple[str, ...]:
    """The name of a function or class that a variable or property is given; () for other values."""
    for child in node.named_children:
        value = child.child_by_field_name("value") or child.child_by_field_name("right")
        named = child.child_by_field_name("name") or child.child_by_field_name("left")
        if value is not None and named is not None and value.type in _FUNCTIONS:
            return tuple(part for part in _text(named).split(".") if part != "prototype")
    return ()


def _declared(node: Node) -> Node | None:
    """The name inside a declarator of C: of a function, a pointer to one, a type."""
    declarator = node.child_by_field_name("declarator")
    while declarator is not None:
        inner = declarator.child_by_field_name("declarator")
        if inner is None and declarator.type in ("reference_declarator", "parenthesized_declarator"):
            inner = next(iter(declarator.named_children), None)
        if inner is None:
            return declarator
        declarator = inner
    return None


def _specified(node: Node) -> Node | None:
    """The name of a definition whose grammar gives it no field: of a type inside it, or its first identifier."""
    for child in node.named_children:
        if (named := child.child_by_field_name("name")) is not None and child.type.endswith(("spec", "alias")):
            return named
        if child.type.endswith("identifier"):
            return child
    return None


def _text(node: Node) -> str:
    return " ".join((node.text or b"").decode("utf-8", errors="replace").split())[:_LONGEST_NAME]


def _sections(text: str, data: bytes, definitions: list[_Definition]) -> Iterator[Section]:
    """Sections that tile the text: each definition's own lines, and what is left between them.

    The ends of blocks belong to the section before them. A line that only opens a class or module belongs to the first
    definition in it, as a heading without text does.
    """
    marks = list(_marks(data, definitions))
    path: tuple[str, ...] = ()
    start = at = 0
    opened = False  # the section that is open has nothing but the lines that open scopes
    for (first, own, begins), (last, _, _) in zip(marks, [*marks[1:], (len(data), (), False)], strict=True):
        piece = data[first:last].decode("utf-8")
        if not _ENDS.fullmatch(piece):
            inside = len(own) > len(path) and own[: len(path)] == path
            if start < at and not (opened and inside):
                yield Section(path=path, start=start, end=at)
                start = at
            opened = (opened or start == at) and begins and len(piece.strip().splitlines()) == 1
            path = own
        at += len(piece)
    if start < at:
        yield Section(path=path, start=start, end=at)


def _marks(data: bytes, definitions: list[_Definition]) -> Iterator[tuple[int, tuple[str, ...], bool]]:
    """(byte, path, whether it begins there): from there to the next mark the text is of the definition of that path."""
    yield 0, (), False
    last = 0
    open_now: list[tuple[int, tuple[str, ...]]] = []
    for definition in [*definitions, _Definition(path=(), start=len(data), end=len(data))]:
        while open_now and open_now[-1][0] <= definition.start:
            last = max(last, open_now.pop()[0])
            yield last, open_now[-1][1] if open_now else (), False
        last = max(last, _line_start(data, definition.start))
        yield last, definition.path, True
        open_now.append((_line_end(data, definition.end), definition.path))


def _line_start(data: bytes, at: int) -> int:
    """Where the line begins that a definition begins on; the definition's own beginning where code is before it."""
    before = data[max(0, at - _LONGEST_MARGIN) : at]
    start = at - len(before) + len(before.rstrip(b" \t"))
    return start if start == 0 or data[start - 1 : start] == b"\n" else at


def _line_end(data: bytes, at: int) -> int:
    """After the line that a definition ends on; the definition's own end where code comes after it."""
    if data[at - 1 : at] == b"\n":
        return at
    margin = data[at : at + _LONGEST_MARGIN]
    end = margin.find(b"\n") + 1
    rest = (margin[:end] if end else margin).strip(b" \t\r\n;,)")
    if rest and not rest.startswith((b"#", b"//", b"/*", b"--")):
        return at
    return at + end if end else min(len(data), at + len(margin)) if len(margin) < _LONGEST_MARGIN else at
