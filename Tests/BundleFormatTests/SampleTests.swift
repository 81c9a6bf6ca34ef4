import Architecture
import BundleFormat
import Bytes
import Checkpoints
import JSON
import Quantization
import Tensors
import Testing

/// `Formats/samples/bundle`, which a writer of its own made by `Formats/crayon-bundle.md`.
@Suite struct BundleSamples {
    private let root: String
    private let expectations: JSONReader

    init() throws {
        let parts = #filePath.split(separator: "/").dropLast(3)
        root = "/" + parts.joined(separator: "/") + "/Formats/samples/bundle"
        expectations = try JSONReader(file: "\(root)/expectations.json")
    }

    /// The elements of a weight in the type that it stands for.
    private func bytes(_ weight: StoredWeight, _ type: ElementType) -> [UInt8] {
        let count = weight.shape.count
        let buffer = ByteBuffer(count: count * type.byteCount)
        switch weight {
        case .dense(let tensor): return tensor.region.array
        case .nf4(let tensor): tensor.dequantize(elements: 0..<count, as: type, into: buffer.pointer)
        case .int8(let tensor): tensor.dequantize(elements: 0..<count, as: type, into: buffer.pointer)
        }
        return buffer.region.array
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    @Test func validOnesOpenAndMatch() throws {
        let valid = try expectations.object("valid")
        #expect(!valid.object.isEmpty)
        var kinds: Set<BundleCoding.Kind> = []
        for name in valid.object.names {
            let expected = try valid.object(name)
            let bundle = try BundleReader(path: "\(root)/valid/\(name)")
            #expect(bundle.verifyDigests().isEmpty, "\(name)")
            let weights = try expected.object("weights")
            #expect(Set(bundle.manifest.weights.map(\.role.rawValue)) == Set(weights.object.names), "\(name)")
            for role in weights.object.names {
                let description = try weights.object(role)
                let type = try #require(ElementType(rawValue: try description.string("type")))
                let weight = try #require(try bundle.weight(Role(role)))
                kinds.insert(try #require(bundle.entry(Role(role))).coding.kind)
                #expect(weight.shape.dims == (try description.ints("shape")), "\(name): \(role)")
                #expect(hex(bytes(weight, type)) == (try description.string("bytes")), "\(name): \(role)")
            }
            let files = try expected.object("files")
            #expect(bundle.files.map(\.name) == files.object.names, "\(name)")
            for file in bundle.files { #expect(hex(file.region.array) == (try files.string(file.name)), "\(name)") }
            #expect(bundle.probes.map(\.name) == ["0"])
            #expect(try bundle.probes[0]["input_ids"]?.integers(in: name) == [1, 5, 7])
            #expect(bundle.manifest.history.map(\.producer) == ["bundle_samples.py"])
        }
        #expect(kinds == Set(BundleCoding.Kind.allCases))
    }

    @Test func invalidOnesAreRefusedOrFoundDamaged() throws {
        let invalid = try expectations.object("invalid")
        #expect(!invalid.object.isEmpty)
        for name in invalid.object.names {
            let path = "\(root)/invalid/\(name)"
            let expected = try invalid.object(name)
            func expect(_ text: String, _ body: () throws(CrayonError) -> Void) {
                do throws(CrayonError) {
                    try body()
                    Issue.record("\(name) was taken; expected '\(text)'")
                } catch {
                    #expect(error.description.contains(text), "\(name): \(error)")
                    #expect(error.description.contains(path), "\(name): \(error)")
                }
            }
            if let text = try expected.optionalString("open") {
                expect(text) { () throws(CrayonError) in _ = try BundleReader(path: path) }
                continue
            }
            let bundle = try BundleReader(path: path)
            if let text = try expected.optionalString("weight") {
                // The digests are right: nothing but the coding itself shows it.
                #expect(bundle.verifyDigests().isEmpty, "\(name)")
                expect(text) { () throws(CrayonError) in _ = try bundle.weight(.head) }
            } else {
                #expect(try bundle.verifyDigests() == expected.strings("verify"), "\(name)")
            }
        }
    }
}
