import Bytes
import Checkpoints
import Foundation
import JSON
import Quantization
import Tensors

/// The folder that a generic checkpoint goes to: one file or shards, whose tensors follow from the plan.
final class GenericFolder {
    private let folder: String
    private let output: OutputFolder
    private var shards: [LateSafetensorsWriter] = []
    private var shardOf: [String: Int] = [:]
    private var weightMap: [(name: String, file: String)] = []
    /// Bytes of all tensors; those of the states as they are given.
    private(set) var byteCount = 0

    /// Bytes that a state's text may have: a hundred and a few for the keys, the rest for numbers.
    private static let stateLimit = 384
    private static let index = "model.safetensors.index.json"

    /// - Throws: `CrayonError` when the folder holds a model, or cannot be made.
    init(_ folder: String, plan: GenericPlan, options: GenericQuantization.Options) throws(CrayonError) {
        self.folder = folder
        output = try OutputFolder(folder)
        let present = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let model = present.filter { name in
            name == "config.json"
                || [".safetensors", ".safetensors.index.json", ".bin"].contains { name.hasSuffix($0) }
        }
        guard model.isEmpty else {
            throw CrayonError(
                .usage, in: folder,
                found: "a folder that already holds \(model.sorted().prefix(4).joined(separator: ", "))",
                expected: "a new or empty folder", advice: "Name another folder, or remove those files.")
        }
        typealias Contents = (declarations: [SafetensorsWriter.Declaration], late: [LateSafetensorsWriter.Late])
        var contents: [Contents] = [([], [])]
        var filled = 0
        for item in plan.items {
            let parts = item.declarations(options.quantizer)
            let size = parts.reduce(0) { $0 + $1.byteCount }
            if filled > 0, size > options.shardLimit - filled {
                contents.append(([], []))
                filled = 0
            }
            filled += size
            byteCount += size
            contents[contents.count - 1].declarations += parts
            if item.isQuantized {
                contents[contents.count - 1].late.append(
                    .init(name: Self.stateName(item.entry.name), limit: Self.stateLimit))
            }
        }
        for (position, part) in contents.enumerated() {
            let name =
                contents.count == 1
                ? "model.safetensors"
                : "model-\(Self.digits(position + 1))-of-\(Self.digits(contents.count)).safetensors"
            shards.append(
                try LateSafetensorsWriter(
                    path: "\(folder)/\(name)", declarations: part.declarations, late: part.late))
            for tensor in part.declarations.map(\.name) + part.late.map(\.name) {
                guard shardOf.updateValue(position, forKey: tensor) == nil else {
                    throw CrayonError(
                        .malformed, in: folder, item: "tensor '\(tensor)'", found: "a name that two tensors would have")
                }
                weightMap.append((tensor, name))
            }
        }
    }

    /// The files that `commit` brings into place.
    var names: [String] {
        shards.map { Folder.lastPart(of: $0.path) } + (shards.count > 1 ? [Self.index] : [])
    }

    func write(_ bytes: UnsafeRawBufferPointer, of name: String, at offset: Int = 0) throws(CrayonError) {
        guard let shard = shardOf[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        try shards[shard].write(bytes, of: name, at: offset)
    }

    /// Gives the text that describes a quantized weight.
    func setState(_ text: [UInt8], of name: String) {
        let state = Self.stateName(name)
        guard let shard = shardOf[state] else { preconditionFailure("'\(name)' is not quantized") }
        shards[shard].setLate(text, of: state)
        byteCount += text.count
    }

    func commit() throws(CrayonError) {
        for shard in shards { try shard.commit() }
        guard shards.count > 1 else { return }
        var map = JSONObject()
        for (name, file) in weightMap.sorted(by: { $0.name < $1.name }) { map[name] = .string(file) }
        let value: JSONValue = ["metadata": ["total_size": .int(byteCount)], "weight_map": .object(map)]
        try AtomicFile.write(Array((value.text(style: .pretty(indent: 2)) + "\n").utf8), to: "\(folder)/\(Self.index)")
    }

    /// Takes the folder away again if it was made here and nothing has come into it.
    func removeIfEmpty() {
        shards = []
        output.removeIfEmpty()
    }

    private static func stateName(_ name: String) -> String { name + NF4Tensor.Component.quantState.rawValue }

    private static func digits(_ number: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
}
