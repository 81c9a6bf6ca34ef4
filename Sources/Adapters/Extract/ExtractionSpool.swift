import Bytes
import Checkpoints
import Foundation
import JSON
import Tensors

/// Pairs that are finished, in files beside the output, and what is known of them, in the journal.
struct ExtractionSpool {
    private let folder: ResumeFolder
    private let earlier: [String: JSONObject]

    init(_ folder: ResumeFolder) {
        self.folder = folder
        earlier = folder.finished
    }

    func remove() { folder.remove() }

    /// What an earlier run found of a module; nil where it had not come so far.
    func layer(_ path: String) throws(CrayonError) -> ExtractedLayer? {
        guard let record = earlier[path] else { return nil }
        do {
            return try JSONDecoder.spool.decode(
                ExtractedLayer.self, from: Data(JSONValue.object(record).text(style: .compact).utf8))
        } catch {
            throw CrayonError(
                .corrupt, in: folder.path, item: "module '\(path)'", found: "a record that cannot be read",
                advice: "Start anew without --resume.")
        }
    }

    /// Keeps a pair: its file first, then the record that speaks of it.
    func keep(_ layer: ExtractedLayer, _ factors: ExtractedPair?, bias: Tensor?) throws(CrayonError) {
        if let factors {
            try SafetensorsWriter.write([factors.a, factors.b] + (bias.map { [$0] } ?? []), to: file(layer.module))
        }
        let text: Data
        do {
            text = try JSONEncoder.spool.encode(layer)
        } catch {
            throw CrayonError(.io, in: folder.path, found: "\(error)")
        }
        guard case .object(let record) = try JSONValue.parse(ByteRegion(copying: text), name: folder.path) else {
            return
        }
        try folder.finish(layer.module, record)
    }

    /// A finished pair, whose halves are read when they are needed.
    func module(_ module: ExtractionPlan.Module, _ layer: ExtractedLayer) throws(CrayonError) -> AdapterModule {
        let path = file(layer.module)
        let file = try SafetensorsFile(path: path)
        func tensor(_ name: String) throws(CrayonError) -> Tensor {
            guard let tensor = file.tensor(name) else {
                throw CrayonError(
                    .corrupt, in: path, item: "tensor '\(name)'", found: "nothing",
                    advice: "Start anew without --resume.")
            }
            return tensor
        }
        return AdapterModule(
            path: module.path, kind: module.kind, rank: layer.rank, alpha: Double(layer.rank),
            a: AdapterFactor(try tensor("a")), b: AdapterFactor(try tensor("b")),
            bias: layer.hasBias ? try tensor("bias") : nil)
    }

    private func file(_ module: String) -> String {
        // A path of a module is a file name but for its length and what a hostile checkpoint may put there.
        let bytes = ByteRegion(copying: Array(module.utf8))
        let digest = SHA256Digest.of(bytes.buffer).description.prefix(32)
        return folder.file("\(digest).safetensors")
    }
}

extension JSONEncoder {
    fileprivate static var spool: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return encoder
    }
}

extension JSONDecoder {
    fileprivate static var spool: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return decoder
    }
}
