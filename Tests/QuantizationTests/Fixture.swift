import Bytes
import Checkpoints
import Foundation
import JSON
import Tensors
import Testing

/// What bitsandbytes made of small tensors; written by `Scripts/reference/bitsandbytes_equality.py --fixture`.
enum Fixture {
    static let file: SafetensorsFile = {
        let path = Bundle.module.path(forResource: "Fixtures/bitsandbytes", ofType: "safetensors") ?? "missing fixture"
        do {
            return try SafetensorsFile(path: path)
        } catch {
            fatalError("\(error)")
        }
    }()

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let blockSize: Int
        var testDescription: String { name }

        func tensor(_ part: String) throws -> Tensor { try #require(Fixture.file.tensor("\(name).\(part)")) }
        func bytes(_ part: String) throws -> [UInt8] { try tensor(part).region.array }
    }

    static let cases: [Case] = {
        guard let text = file.metadata("cases"), case .object(let object) = try? JSONValue.parse(text, name: "cases")
        else { fatalError("the fixture names no cases") }
        return object.members.compactMap { member in
            guard case .number(let number) = member.value, let size = number.int else { return nil }
            return Case(name: member.name, blockSize: size)
        }
    }()

    static func floats(_ tensor: Tensor) -> [Float] {
        (0..<tensor.shape.count).map { tensor.region.buffer.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
    }
}
