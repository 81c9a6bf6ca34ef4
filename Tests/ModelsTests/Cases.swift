import Bytes
import Checkpoints
import JSON
import Testing

/// One model of `cases.json`.
struct Case: Sendable, CustomStringConvertible {
    let name: String
    let parts: CheckpointParts
    let options: CheckpointOptions
    let probes: [Probe]
    let greedy: [String]

    struct Probe: Sendable {
        let file: String
        let isQuantized: Bool
        let dequantizedTo: String?
        let adapters: [String]?
        let tolerance: Double
        let imageSize: Int?
    }

    var description: String { name }

    static let all: [Case] = {
        do {
            return try JSONReader(file: Fixtures.path("cases.json")).objects("cases").map(Case.init)
        } catch {
            // No cases, and the test that counts them fails.
            return []
        }
    }()

    init(_ entry: JSONReader) throws {
        name = try entry.string("name")
        let inputs = try entry.object("inputs")
        func path(_ key: String) throws -> String? { try inputs.optionalString(key).map(Fixtures.path) }
        var adapters: [(name: String, path: String)] = []
        if let object = try inputs.optionalObject("adapters") {
            for name in object.object.names { adapters.append((name, Fixtures.path(try object.string(name)))) }
        }
        parts = try CheckpointParts(
            checkpoint: path("checkpoint"), backbone: path("backbone"), vision: path("vision"), crayon: path("crayon"),
            adapters: adapters)
        let given = try entry.optionalObject("options")
        options = try CheckpointOptions(
            imageSize: given?.optionalInt("image-size"), visionHeadCount: given?.optionalInt("vision-heads"))
        probes = try entry.objects("probes").map { probe in
            try Probe(
                file: probe.string("file"), isQuantized: probe.optionalObject("precision")?.string("backbone") == "nf4",
                dequantizedTo: probe.optionalString("dequantized_to"),
                adapters: probe.optionalArray("adapters") == nil ? nil : probe.strings("adapters"),
                tolerance: probe.double("tolerance"),
                imageSize: probe.optionalObject("options")?.optionalInt("image-size"))
        }
        greedy = try (entry.optionalArray("greedy") == nil ? [] : entry.objects("greedy")).map { try $0.string("file") }
    }

    func open(imageSize: Int? = nil) throws -> CheckpointModel {
        var options = options
        if let imageSize { options.imageSize = imageSize }
        return try CheckpointModel.open(parts, options: options)
    }
}
