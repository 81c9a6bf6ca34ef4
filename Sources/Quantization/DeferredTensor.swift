public import Bytes
public import Tensors

/// A dense tensor whose memory is there and whose elements come later, in pieces that can be made in any order and by any
/// thread: a packed weight that is not unpacked yet.
public struct DeferredTensor: Sendable {
    /// Over memory that holds anything until its pieces have been made.
    public let tensor: Tensor
    /// Elements of a piece; the last one may have fewer.
    public let pieceElements: Int
    /// Makes one piece. Called once for each.
    public let make: @Sendable (_ piece: Int) throws(CrayonError) -> Void

    /// - Precondition: `pieceElements` is positive.
    public init(
        tensor: Tensor, pieceElements: Int, make: @escaping @Sendable (_ piece: Int) throws(CrayonError) -> Void
    ) {
        precondition(pieceElements > 0)
        self.tensor = tensor
        self.pieceElements = pieceElements
        self.make = make
    }

    public var pieceCount: Int { (tensor.shape.count + pieceElements - 1) / pieceElements }

    /// The pieces that hold some elements.
    public func pieces(of elements: Range<Int>) -> Range<Int> {
        Self.pieces(of: elements, pieceElements: pieceElements)
    }

    public static func pieces(of elements: Range<Int>, pieceElements: Int) -> Range<Int> {
        guard !elements.isEmpty else { return 0..<0 }
        return elements.lowerBound / pieceElements..<(elements.upperBound - 1) / pieceElements + 1
    }
}
