import Bytes
import Checkpoints
import JSON
import Quantization
import Tensors

/// Finished modules of a start, in files beside the output.
struct StartSpool: Sendable {
    private static let weightName = "weight"
    // Only the calling thread records; readers look at files.
    nonisolated(unsafe) let folder: ResumeFolder

    func holds(_ path: String) -> Bool { folder.finished[Self.item(path)] != nil }

    func keep(_ layer: StartReport.Layer, _ pair: ExtractedPair, _ weight: NF4Tensor?) throws(CrayonError) {
        let tensors = [pair.a, pair.b] + (weight?.components(named: Self.weightName) ?? [])
        try SafetensorsWriter.write(tensors, to: file(layer.module))
        try folder.finish(
            Self.item(layer.module),
            JSONObject([
                "rank": .int(layer.rank), "plain_error": .double(layer.plainError), "error": .double(layer.error),
                "norm": .double(layer.norm), "seconds": .double(layer.seconds),
            ]))
    }

    func read(_ path: String) throws(CrayonError) -> (StartReport.Layer, AdapterModule) {
        let record = JSONReader(folder.finished[Self.item(path)] ?? JSONObject([:]), place: folder.path)
        let rank = try record.int("rank")
        let layer = StartReport.Layer(
            module: path, rank: rank, plainError: try record.double("plain_error"), error: try record.double("error"),
            norm: try record.double("norm"), seconds: try record.double("seconds"))
        let file = try SafetensorsFile(path: file(path))
        func factor(_ name: String) throws(CrayonError) -> AdapterFactor {
            guard let tensor = file.tensor(name) else { throw missing(name, path) }
            return AdapterFactor(tensor)
        }
        return (
            layer,
            AdapterModule(path: path, rank: rank, alpha: Double(rank), a: try factor("a"), b: try factor("b"))
        )
    }

    /// The weight that goes with the pair.
    func weight(_ path: String, named name: String) throws(CrayonError) -> NF4Tensor {
        let file = try SafetensorsFile(path: file(path))
        return try NF4Tensor(named: Self.weightName, place: file.place) { file.tensor($0) }
    }

    private func missing(_ name: String, _ path: String) -> CrayonError {
        CrayonError(
            .corrupt, in: folder.path, item: "module '\(path)'", found: "no tensor '\(name)'",
            advice: "Start anew without --resume.")
    }

    /// Numbers stand for weights written; see `BundleRewrite`.
    private static func item(_ path: String) -> String { "pair \(path)" }

    private func file(_ path: String) -> String {
        let bytes = ByteRegion(copying: Array(path.utf8))
        return folder.file("\(SHA256Digest.of(bytes.buffer).description.prefix(32)).safetensors")
    }
}
