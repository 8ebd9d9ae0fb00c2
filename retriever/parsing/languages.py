"""The programming languages that definitions are found in: what their grammars call what.

The grammars are wheels of the tree-sitter project, one a language, compiled and complete: nothing is fetched when one
is first used, as the packages that bundle hundreds of languages do.
"""

import importlib
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePath

from tree_sitter import Language as Grammar


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True, kw_only=True)
class Language:
    """How a language's syntax tree names its definitions.

    `scopes` hold further definitions, `leaves` are read as one; `through` are looked into as if they were not there,
    and a definition in one of `wrapped` begins and ends with it. `leading` goes with the definition under it.
    """

    name: str
    module: str
    entry: str = "language"
    extensions: frozenset[str]
    scopes: frozenset[str] = frozenset()
    leaves: frozenset[str]
    through: frozenset[str] = frozenset()
    wrapped: frozenset[str] = frozenset()
    leading: frozenset[str] = frozenset(["comment"])

    @property
    def media_type(self) -> str:
        """The media type of a file in this language."""
        return f"text/x-{self.name}"


@cache
def grammar(language: Language) -> Grammar:
    """The compiled grammar, loaded when a file of the language is first read."""
    return Grammar(getattr(importlib.import_module(language.module), language.entry)())


_JAVASCRIPT_SCOPES = "class_declaration class"
_JAVASCRIPT_LEAVES = (
    "function_declaration generator_function_declaration method_definition lexical_declaration variable_declaration "
    "expression_statement"
)
_TYPESCRIPT = Language(
    name="typescript",
    module="tree_sitter_typescript",
    entry="language_typescript",
    extensions=_names(".ts .mts .cts"),
    scopes=_names(f"{_JAVASCRIPT_SCOPES} abstract_class_declaration internal_module module"),
    leaves=_names(
        f"{_JAVASCRIPT_LEAVES} public_field_definition interface_declaration type_alias_declaration enum_declaration "
        "function_signature"
    ),
    through=_names("program class_body statement_block"),
    wrapped=_names("export_statement ambient_declaration expression_statement"),
)
_C_THROUGH = (
    "translation_unit preproc_if preproc_ifdef preproc_else preproc_elif linkage_specification declaration_list "
    "field_declaration_list"
)

LANGUAGES = (
    Language(
        name="python",
        module="tree_sitter_python",
        extensions=_names(".py .pyi .pyw"),
        scopes=_names("class_definition"),
        leaves=_names("function_definition"),
        through=_names("module block if_statement else_clause elif_clause try_statement except_clause"),
        wrapped=_names("decorated_definition"),
    ),
    Language(
        name="javascript",
        module="tree_sitter_javascript",
        extensions=_names(".js .mjs .cjs .jsx"),
        scopes=_names(_JAVASCRIPT_SCOPES),
        leaves=_names(f"{_JAVASCRIPT_LEAVES} field_definition"),
        through=_names("program class_body"),
        wrapped=_names("export_statement"),
    ),
    _TYPESCRIPT,
    replace(_TYPESCRIPT, name="tsx", entry="language_tsx", extensions=_names(".tsx")),
    Language(
        name="java",
        module="tree_sitter_java",
        extensions=_names(".java"),
        scopes=_names("class_declaration interface_declaration enum_declaration record_declaration"),
        leaves=_names(
            "method_declaration constructor_declaration compact_constructor_declaration annotation_type_declaration"
        ),
        through=_names("program class_body interface_body enum_body enum_body_declarations"),
        leading=_names("line_comment block_comment"),
    ),
    Language(
        name="c",
        module="tree_sitter_c",
        extensions=_names(".c"),
        leaves=_names(
            "function_definition struct_specifier union_specifier enum_specifier type_definition preproc_function_def"
        ),
        through=_names(_C_THROUGH),
    ),
    Language(
        name="c++",
        module="tree_sitter_cpp",
        extensions=_names(".cc .cpp .cxx .c++ .h .hh .hpp .hxx .ipp .cu .cuh"),
        scopes=_names("class_specifier struct_specifier namespace_definition"),
        leaves=_names(
            "function_definition union_specifier enum_specifier type_definition alias_declaration concept_definition "
            "preproc_function_def"
        ),
        through=_names(_C_THROUGH),
        wrapped=_names("template_declaration"),
    ),
    Language(
        name="go",
        module="tree_sitter_go",
        extensions=_names(".go"),
        leaves=_names("function_declaration method_declaration type_declaration"),
        through=_names("source_file"),
    ),
    Language(
        name="rust",
        module="tree_sitter_rust",
        extensions=_names(".rs"),
        scopes=_names("impl_item trait_item mod_item"),
        leaves=_names(
            "function_item macro_definition struct_item enum_item union_item type_item function_signature_item"
        ),
        through=_names("source_file declaration_list foreign_mod_item"),
        leading=_names("line_comment block_comment attribute_item"),
    ),
    Language(
        name="csharp",
        module="tree_sitter_c_sharp",
        extensions=_names(".cs"),
        scopes=_names(
            "class_declaration interface_declaration struct_declaration record_declaration namespace_declaration"
        ),
        leaves=_names(
            "method_declaration constructor_declaration destructor_declaration operator_declaration enum_declaration "
            "delegate_declaration conversion_operator_declaration indexer_declaration"
        ),
        through=_names("compilation_unit declaration_list preproc_if file_scoped_namespace_declaration"),
    ),
    Language(
        name="ruby",
        module="tree_sitter_ruby",
        extensions=_names(".rb .rake .gemspec"),
        scopes=_names("class module singleton_class"),
        leaves=_names("method singleton_method"),
        through=_names("program body_statement"),
    ),
    Language(
        name="php",
        module="tree_sitter_php",
        entry="language_php",
        extensions=_names(".php .phtml"),
        scopes=_names("class_declaration interface_declaration trait_declaration enum_declaration"),
        leaves=_names("function_definition method_declaration"),
        through=_names(
            "program namespace_definition declaration_list enum_declaration_list compound_statement if_statement"
        ),
        leading=_names("comment attribute_list"),
    ),
    Language(
        name="shellscript",
        module="tree_sitter_bash",
        extensions=_names(".sh .bash .zsh .ksh"),
        leaves=_names("function_definition"),
        through=_names("program if_statement"),
    ),
    Language(
        name="scala",
        module="tree_sitter_scala",
        extensions=_names(".scala .sc"),
        scopes=_names("class_definition object_definition trait_definition enum_definition package_object"),
        leaves=_names("function_definition type_definition"),
        through=_names("compilation_unit template_body enum_body package_clause"),
        leading=_names("comment block_comment"),
    ),
    Language(
        name="kotlin",
        module="tree_sitter_kotlin",
        extensions=_names(".kt .kts"),
        scopes=_names("class_declaration object_declaration companion_object"),
        leaves=_names("function_declaration secondary_constructor type_alias"),
        through=_names("source_file class_body enum_class_body"),
        leading=_names("line_comment block_comment"),
    ),
)
BY_EXTENSION = {extension: language for language in LANGUAGES for extension in language.extensions}
BY_NAME = {language.name: language for language in LANGUAGES}
BY_MEDIA_TYPE = {language.media_type: language for language in LANGUAGES} | {
    kind: BY_NAME[name]
    for name, kinds in {
        "python": "text/x-script.python application/x-python application/x-python-code",
        "javascript": "text/javascript application/javascript application/x-javascript application/ecmascript",
        "typescript": "text/typescript application/typescript application/x-typescript",
        "java": "text/x-java-source",
        "c": "text/x-csrc",
        "c++": "text/x-c++src text/x-c++hdr text/x-chdr text/x-cpp",
        "go": "text/x-golang",
        "rust": "text/rust",
        "ruby": "application/x-ruby",
        "php": "application/x-php application/x-httpd-php",
        "shellscript": "application/x-sh application/x-shellscript",
    }.items()
    for kind in kinds.split()
}
_SHEBANG = re.compile(rb"#![^\n]{0,60}?\b(python|node|ruby|php|bash|sh|zsh|ksh)[\d.]*[ \t]*(?:\r?\n|$)")
_INTERPRETERS = {b"python": "python", b"node": "javascript", b"ruby": "ruby", b"php": "php"}


def language_of(data: bytes, *, filename: str | None, media_type: str | None) -> Language | None:
    """The language of a source file: by its extension, its media type, or the interpreter that its first line names."""
    suffix = PurePath(filename or "").suffix.lower()
    kind = (media_type or "").split(";")[0].strip().lower()
    if (known := BY_EXTENSION.get(suffix) or BY_MEDIA_TYPE.get(kind)) is not None:
        return known
    match = None if suffix else _SHEBANG.match(data)
    return BY_NAME[_INTERPRETERS.get(match.group(1), "shellscript")] if match else None
