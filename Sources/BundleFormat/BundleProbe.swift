public import Bytes
public import Tensors

/// A recorded input with the logits of the source, carried in a bundle so that `verify` needs nothing else.
public struct BundleProbe: Sendable {
    /// One word.
    public let name: String
    /// By field, in the order of `fieldNames`.
    public let tensors: [(field: String, tensor: Tensor)]

    /// The fields that a probe may have. `input_ids` I64 `[n]`; `pixel_values` F32 `[3, H, W]`; `semantic_map` and
    /// `numbering_map` I64 `[g, g]`; `logits` F32 `[m, vocabulary]`; `labels` I64 `[total]`, -100 where ignored;
    /// `positions` I64 `[m]`, the rows of the sequence that `logits` has (absent: all of them).
    public static let fieldNames = [
        "input_ids", "pixel_values", "semantic_map", "numbering_map", "logits", "labels", "positions",
    ]

    /// - Throws: `CrayonError` for a name or a field that a bundle cannot hold.
    public init(name: String, tensors: [String: Tensor], in place: String) throws(CrayonError) {
        guard BundleNames.isProbeName(name) else {
            throw CrayonError(.usage, in: place, item: "probe '\(name)'", found: "a name with dots or spaces, or none")
        }
        if let field = tensors.keys.sorted().first(where: { !Self.fieldNames.contains($0) }) {
            throw CrayonError(
                .unsupported, in: place, item: "probe '\(name)'", found: "field '\(field)'",
                expected: Self.fieldNames.joined(separator: ", "))
        }
        self.name = name
        self.tensors = Self.fieldNames.compactMap { field in tensors[field].map { (field, $0) } }
    }

    public subscript(field: String) -> Tensor? { tensors.first { $0.field == field }?.tensor }

    var entry: BundleProbeEntry { BundleProbeEntry(name: name, fields: tensors.map(\.field)) }
}
