/// What a user of Crayon can cause to go wrong: one error type for the whole product.
///
/// Every error names the place (a file or an option), the item in it (a tensor, a key, an index), what
/// was found, what was expected, and what to do about it; `description` joins them in that order.
/// Mistakes of a programmer (an index out of a buffer that has been validated) trap instead.
public struct CrayonError: Error, Equatable, Sendable {
    /// The kinds of failure that a caller may want to tell apart.
    public enum Code: String, Sendable {
        /// A file does not follow its format.
        case malformed
        /// A file, tensor, key or option that is needed is not there.
        case missing
        /// Two things that must agree do not (a shape and a configuration, say).
        case mismatch
        /// Well formed, but something that Crayon does not do.
        case unsupported
        /// A NaN or an infinity where a number is needed.
        case notFinite
        /// A digest or a recomputed number differs from what was recorded.
        case corrupt
        /// The operating system said no.
        case io
        /// An option's value makes no sense.
        case usage
    }

    public var code: Code
    /// The file or option concerned, as the user named it.
    public var place: String
    /// The tensor, key or record inside `place`.
    public var item: String?
    public var found: String
    public var expected: String?
    /// What the user can do.
    public var advice: String?

    public init(
        _ code: Code, in place: String, item: String? = nil, found: String, expected: String? = nil,
        advice: String? = nil
    ) {
        self.code = code
        self.place = place
        self.item = item
        self.found = found
        self.expected = expected
        self.advice = advice
    }
}

extension CrayonError: CustomStringConvertible {
    public var description: String {
        var text = place
        if let item { text += ": \(item)" }
        text += ": \(found)"
        if let expected { text += "; expected \(expected)" }
        if let advice { text += ". \(advice)" }
        return text
    }
}
