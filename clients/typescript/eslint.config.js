import eslint from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
    { ignores: ["build", "dist", "docs", "src/gen"] },
    eslint.configs.recommended,
    tseslint.configs.strictTypeChecked,
    tseslint.configs.stylisticTypeChecked,
    {
        languageOptions: { parserOptions: { projectService: true } },
        rules: {
            "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
            "@typescript-eslint/explicit-module-boundary-types": "error",
            "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
            "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
            "@typescript-eslint/switch-exhaustiveness-check": [
                "error",
                { considerDefaultExhaustiveForUnions: true },
            ],
            "@typescript-eslint/no-unused-vars": [
                "error",
                { ignoreRestSiblings: true, varsIgnorePattern: "^_$" },
            ],
            "no-console": "error",
        },
    },
    {
        files: ["tests/**"],
        rules: {
            // The runner awaits what `test` returns.
            "@typescript-eslint/no-floating-promises": [
                "error",
                { allowForKnownSafeCalls: ["test", "suite"] },
            ],
        },
    },
    { files: ["examples/**"], rules: { "no-console": "off" } },
    { files: ["*.js"], extends: [tseslint.configs.disableTypeChecked] },
);
