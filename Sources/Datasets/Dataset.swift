public import Bytes

/// Examples that can be asked for in any order.
///
/// An example depends on its index, the epoch and the data set's own seed alone: whatever thread asks, and whatever
/// was asked before, the same comes out.
public protocol Dataset: Sendable {
    /// What errors and logs call it: its file.
    var name: String { get }
    /// Examples of one epoch. Positive: an empty file is refused when it is opened.
    var count: Int { get }

    /// - Parameters:
    ///   - index: below `count`.
    ///   - epoch: how often the whole set has been gone through; where examples are drawn it draws others.
    /// - Throws: `CrayonError` naming the file and the record, for one that is broken. Others may still be whole.
    func example(_ index: Int, epoch: Int) throws(CrayonError) -> Example
}

extension CrayonError {
    /// A data set with nothing in it.
    static func noRecords(in place: String, item: String? = nil) -> CrayonError {
        CrayonError(.missing, in: place, item: item, found: "no records", expected: "at least one")
    }
}
