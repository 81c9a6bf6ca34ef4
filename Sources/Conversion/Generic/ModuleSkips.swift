import Bytes

/// Modules that are not to be quantized, by patterns as transformers' `llm_int8_skip_modules` has them.
///
/// A pattern leaves a module alone when it matches, as a regular expression, the module's path from its start to the end of a name in it, or
/// when the path ends with it (transformers 5, `should_convert_module`).
struct ModuleSkips {
    let patterns: [String]
    private let expressions: [Regex<AnyRegexOutput>?]

    init(_ patterns: [String]) {
        self.patterns = patterns
        // What is no regular expression here may still be the end of a path.
        expressions = patterns.map { try? Regex($0) }
    }

    /// - Throws: `CrayonError` for a pattern that is no regular expression.
    static func checking(_ patterns: [String]) throws(CrayonError) -> ModuleSkips {
        for pattern in patterns where pattern.isEmpty || (try? Regex(pattern)) == nil {
            throw CrayonError(
                .usage, in: "--skip", found: "'\(pattern)'", expected: "the name of a module, or a regular expression")
        }
        return ModuleSkips(patterns)
    }

    /// Whether a module is left alone.
    /// - Parameter module: its path, as in `model.layers.0.mlp.up_proj`.
    func contains(_ module: String) -> Bool {
        zip(patterns, expressions).contains { pattern, expression in
            if module.hasSuffix(pattern) { return true }
            guard let expression else { return false }
            return Self.boundaries(of: module).contains { end in
                (try? expression.wholeMatch(in: module[..<end])) != nil && end > module.startIndex
            }
        }
    }

    /// Before and after every dot, and the end.
    private static func boundaries(of module: String) -> [String.Index] {
        var ends: [String.Index] = [module.endIndex]
        for index in module.indices where module[index] == "." {
            ends += [index, module.index(after: index)]
        }
        return ends
    }
}
