import { OptionDefaults } from "typedoc";

/** @type {Partial<import("typedoc").TypeDocOptions>} */
export default {
    entryPoints: ["src/index.ts"],
    tsconfig: "tsconfig.build.json",
    out: "build/docs",
    treatWarningsAsErrors: true,
    treatValidationWarningsAsErrors: true,
    validation: { notExported: true, invalidLink: true, notDocumented: true },
    // Properties whose names say it all need no sentence.
    requiredToBeDocumented: [
        "Enum",
        "EnumMember",
        "Variable",
        "Function",
        "Class",
        "Interface",
        "Method",
        "Accessor",
        "TypeAlias",
    ],
    excludePrivate: true,
    excludeInternal: true,
    // Of the generated code, which some private types are made of.
    blockTags: [...OptionDefaults.blockTags, "@generated"],
};
