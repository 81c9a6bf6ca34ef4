import Architecture
import Bytes
import Checkpoints
import Foundation
import JSON
import Models
import Tensors
import Testing
import Training

/// What `Scripts/reference/optimizer_fixture.py` wrote.
enum Fixtures {
    static func path(_ name: String) throws -> String {
        try #require(Bundle.module.url(forResource: "Fixtures", withExtension: nil)).appending(path: name).path
    }

    static func tensor(_ name: String) throws -> Tensor {
        try #require(SafetensorsFile(path: path("optimizer.safetensors")).tensor(name), "\(name)")
    }

    static func floats(_ name: String) throws -> [Float] {
        let tensor = try tensor(name)
        return (0..<tensor.shape.count).map {
            tensor.region.buffer.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)
        }
    }

    static func doubles(_ name: String) throws -> [Double] {
        let tensor = try tensor(name)
        return (0..<tensor.shape.count).map {
            tensor.region.buffer.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self)
        }
    }

    static func settings(of name: String) throws -> (adamW: AdamWSettings, decay: Double) {
        let text = try #require(SafetensorsFile(path: path("optimizer.safetensors")).metadata("cases"))
        let reader = try JSONReader(JSONValue.parse(text, name: "cases"), place: "cases").object(name)
        let states = try #require(AdamWSettings.States(rawValue: reader.string("optimizer")))
        let settings = try AdamWSettings(
            states: states, beta1: reader.double("beta1"), beta2: reader.double("beta2"),
            epsilon: reader.double("epsilon"))
        return try (settings, reader.double("decay"))
    }

    static var schedules: JSONReader {
        get throws { try JSONReader(file: path("schedules.json")) }
    }
}

extension LearnedTensors {
    /// A vector that learns.
    static func one(_ values: [Float], role: String = "crayon.semantic.weight") -> LearnedTensors {
        LearnedTensors([
            LearnedTensor(
                role: Role(role), shape: Shape([values.count]),
                value: Matrix(rows: 1, columns: values.count, values: values))
        ])
    }
}
