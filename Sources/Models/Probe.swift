public import Architecture
public import Bytes
public import Checkpoints
public import Tensors

/// Recorded inputs of one prompt and the logits that a right implementation gives: a safetensors file.
///
/// - `input_ids` I64 `[n]`, with the image token where a picture stands
/// - `pixel_values` F32 `[3, H, W]` or `[k, 3, H, W]`, normalised; absent from text-only probes
/// - `semantic_map` and `numbering_map` I64 `[g, g]` or `[k, g, g]`; both or neither
/// - `logits` F32 `[total, vocab]`, or `[positions, vocab]` where `positions` I64 names ascending rows
/// - `labels` I64 `[total]`, optional, -100 where ignored
public struct Probe: Sendable {
    /// The file, as the user named it.
    public let place: String
    public let input: ModelInput
    /// The rows of the whole that `logits` holds; nil for all.
    public let positions: [Int]?
    /// `[rows, vocab]`
    public let logits: Matrix
    /// What follows at each position; `ignoredLabel` where that does not count.
    public let labels: [Int]?

    /// PyTorch's `ignore_index`.
    public static let ignoredLabel = -100

    public init(
        place: String, input: ModelInput, positions: [Int]? = nil, logits: Matrix, labels: [Int]? = nil
    ) {
        self.place = place
        self.input = input
        self.positions = positions
        self.logits = logits
        self.labels = labels
    }

    /// Reads a probe and checks that it is whole and made for this kind of model.
    /// - Throws: `CrayonError` naming the file and the tensor.
    public init(_ checkpoint: any Checkpoint, for configuration: ModelConfiguration) throws(CrayonError) {
        let reader = ProbeReader(checkpoint)
        let tokens = try reader.integers("input_ids", rank: 1)
        let images = try reader.images()
        let patches = configuration.vision?.patchCount ?? 0
        let placeholders = tokens.count { $0 == configuration.tokens.image }
        let total = tokens.count + placeholders * (patches - 1)
        let positions = checkpoint.entry("positions") == nil ? nil : try reader.integers("positions", rank: 1)
        if let positions {
            let isAscending = zip(positions, positions.dropFirst()).allSatisfy { $0 < $1 }
            guard isAscending, positions.allSatisfy({ $0 >= 0 && $0 < total }) else {
                throw reader.mismatch(
                    "positions", found: "rows out of order or range", expected: "ascending rows below \(total)")
            }
        }
        let logits = try reader.floats("logits")
        let rows = positions?.count ?? total
        guard logits.shape.dims == [rows, configuration.backbone.vocabularySize] else {
            throw reader.mismatch(
                "logits", found: "shape \(logits.shape)",
                expected:
                    "[\(rows), \(configuration.backbone.vocabularySize)] for \(tokens.count) ids with \(placeholders) pictures"
            )
        }
        let labels = checkpoint.entry("labels") == nil ? nil : try reader.integers("labels", rank: 1)
        if let labels {
            guard labels.count == total else {
                throw reader.mismatch("labels", found: "\(labels.count) values", expected: "\(total)")
            }
            let vocabulary = configuration.backbone.vocabularySize
            if let bad = labels.first(where: { $0 != Probe.ignoredLabel && !(0..<vocabulary).contains($0) }) {
                throw reader.mismatch(
                    "labels", found: "\(bad)", expected: "\(Probe.ignoredLabel) or a token below \(vocabulary)")
            }
        }
        self.init(
            place: checkpoint.place, input: ModelInput(tokens: tokens, images: images), positions: positions,
            logits: Matrix(rows: rows, columns: configuration.backbone.vocabularySize, values: logits.values),
            labels: labels)
    }
}

/// Tensors of a probe file, checked one by one.
private struct ProbeReader {
    let checkpoint: any Checkpoint

    init(_ checkpoint: any Checkpoint) { self.checkpoint = checkpoint }

    func mismatch(_ name: String, found: String, expected: String) -> CrayonError {
        CrayonError(.mismatch, in: checkpoint.place, item: "tensor '\(name)'", found: found, expected: expected)
    }

    func tensor(_ name: String) throws(CrayonError) -> Tensor {
        guard let tensor = try checkpoint.tensor(name) else {
            throw CrayonError(.missing, in: checkpoint.place, item: "tensor '\(name)'", found: "not in the probe")
        }
        return tensor
    }

    func integers(_ name: String, rank: Int) throws(CrayonError) -> [Int] {
        let tensor = try tensor(name)
        guard tensor.shape.rank == rank else {
            throw mismatch(name, found: "shape \(tensor.shape)", expected: "\(rank) axes")
        }
        return try tensor.integers(in: checkpoint.place)
    }

    func floats(_ name: String) throws(CrayonError) -> (shape: Shape, values: [Float]) {
        let tensor = try tensor(name)
        guard tensor.type == .f32 else { throw mismatch(name, found: tensor.type.rawValue, expected: "F32") }
        let bytes = tensor.region.buffer
        let values = (0..<tensor.shape.count).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        if let index = values.firstIndex(where: { !$0.isFinite }) {
            throw CrayonError(
                .notFinite, in: checkpoint.place, item: "tensor '\(name)', element \(index)", found: "\(values[index])",
                expected: "a finite number")
        }
        return (tensor.shape, values)
    }

    func images() throws(CrayonError) -> [ImageInput] {
        guard checkpoint.entry("pixel_values") != nil else {
            for name in ["semantic_map", "numbering_map"] where checkpoint.entry(name) != nil {
                throw mismatch(name, found: "a crayon map without a picture", expected: "no map without pixel_values")
            }
            return []
        }
        let pixels = try floats("pixel_values")
        let dims = pixels.shape.dims.count == 3 ? [1] + pixels.shape.dims : pixels.shape.dims
        guard dims.count == 4, dims[0] > 0, dims[1] == 3 else {
            throw mismatch("pixel_values", found: "shape \(pixels.shape)", expected: "[3, H, W] or [k, 3, H, W]")
        }
        let count = dims[0]
        let grids = try crayonGrids(count: count)
        let size = 3 * dims[2] * dims[3]
        return (0..<count).map { index in
            ImageInput(
                width: dims[3], height: dims[2], pixels: Array(pixels.values[index * size..<(index + 1) * size]),
                crayon: grids?[index])
        }
    }

    private func crayonGrids(count: Int) throws(CrayonError) -> [CrayonGrid]? {
        if checkpoint.entry("semantic_map") == nil, checkpoint.entry("numbering_map") == nil { return nil }
        let semantic = try grid("semantic_map", count: count)
        let numbering = try grid("numbering_map", count: count)
        guard semantic.side == numbering.side else {
            throw mismatch(
                "numbering_map", found: "side \(numbering.side)", expected: "\(semantic.side), as semantic_map")
        }
        let cells = semantic.side * semantic.side
        return (0..<count).map { index in
            let range = index * cells..<(index + 1) * cells
            return CrayonGrid(
                side: semantic.side, semantic: Array(semantic.rows[range]), numbering: Array(numbering.rows[range]))
        }
    }

    private func grid(_ name: String, count: Int) throws(CrayonError) -> (side: Int, rows: [Int]) {
        let tensor = try tensor(name)
        let dims = tensor.shape.rank == 2 ? [1] + tensor.shape.dims : tensor.shape.dims
        guard dims.count == 3, dims[0] == count, dims[1] == dims[2] else {
            throw mismatch(
                name, found: "shape \(tensor.shape)", expected: "[g, g] or [\(count), g, g] for \(count) pictures")
        }
        return (dims[1], try tensor.integers(in: checkpoint.place))
    }
}
