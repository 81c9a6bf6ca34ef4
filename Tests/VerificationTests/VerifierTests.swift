import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Models
import Quantization
import Testing
import Verification

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/models").path

/// A bundle of a fixture with its own probes, in a folder that goes away.
private func withBundle(
    _ fixture: String, _ assignments: [String] = [], probes: [String] = ["builtin"],
    _ body: (CheckpointModel, String) throws -> Void
) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let model = try CheckpointModel.open("\(fixtures)/\(fixture)")
    var plan = PrecisionPlan()
    for assignment in assignments { try plan.apply(assignment) }
    let options = try BundleConversion.Options(
        plan: plan, quantizer: NF4Quantizer(), int8Quantizer: Int8Quantizer(),
        probes: ProbeInputs.collect(probes, for: model.configuration))
    try BundleConversion(options: options).run(model, output: "\(folder)/m.crayon")
    try body(model, "\(folder)/m.crayon")
}

@Suite struct VerifierTests {
    @Test func aBundleHoldsWithItsOwnProbes() throws {
        try withBundle("collavo-grouped") { model, path in
            let bundle = try BundleReader(path: path)
            #expect(bundle.manifest.probes.map(\.name) == ["text", "picture", "crayon"])
            let report = try Verifier(options: .init(source: model)).run(path: path)
            #expect(report.passed && report.structure.passed && report.digests?.passed == true)
            #expect(report.numbers?.passed == true && report.source?.passed == true)
            #expect(report.probes.count == 3)
            for (entry, finding) in zip(bundle.manifest.probes, report.probes) {
                // NF4 changes logits, and the record says by how much: to the bit on this machine.
                let recorded = try #require(entry.relativeError)
                #expect(recorded > 1e-3 && recorded < 0.5)
                #expect(finding.relativeError == recorded)
                #expect(finding.passed && finding.tolerance > recorded && finding.tolerance < recorded * 1.06 + 1e-4)
            }
        }
    }

    @Test func sourcePrecisionIsExact() throws {
        try withBundle("collavo-grouped", ["backbone=source"]) { model, path in
            let bundle = try BundleReader(path: path)
            #expect(bundle.manifest.probes.allSatisfy { $0.relativeError == 0 })
            let report = try Verifier(options: .init(tolerance: 0, source: model)).run(path: path)
            #expect(report.passed)
            #expect(report.source?.tensors.allSatisfy { $0.relativeError == 0 && $0.worstBlock == 0 } == true)
        }
    }

    /// A record that the weights do not reach any more.
    @Test func aWrongRecordFails() throws {
        try withBundle("collavo-grouped", ["backbone=source"], probes: []) { _, path in
            let probe = "\(fixtures)/collavo-grouped/probe-nf4.safetensors"
            let report = try Verifier(options: .init(probes: [probe])).run(path: path)
            #expect(!report.passed && report.probes.count == 1 && report.probes[0].passed == false)
            #expect(report.structure.passed && report.digests?.passed == true)
        }
        try withBundle("collavo-grouped", probes: []) { _, path in
            let probe = "\(fixtures)/collavo-grouped/probe-nf4.safetensors"
            let report = try Verifier(options: .init(probes: [probe], tolerance: 1e-4)).run(path: path)
            #expect(report.passed)
        }
    }

    /// One flipped bit in each tensor of the file, then in each part of the header.
    @Test func flippedBytesAreNamed() throws {
        try withBundle("collavo-grouped", ["head=int8"]) { _, path in
            let whole = try Data(contentsOf: URL(filePath: path))
            let file = try SafetensorsFile(path: path)
            let damaged = path + ".damaged.crayon"
            var seen = 0
            for (number, name) in file.names.enumerated() {
                let range = try #require(file.range(of: name))
                guard !range.isEmpty else { continue }
                var bytes = whole
                bytes[range.lowerBound + (number * 37) % range.count] ^= 1 << UInt8(number % 8)
                try bytes.write(to: URL(filePath: damaged))
                let report = try Verifier(options: .init()).run(path: damaged)
                #expect(!report.passed, "\(name)")
                if report.structure.passed {
                    #expect(report.digests?.failed == [name])
                } else {
                    #expect(report.structure.problem?.contains("tensor '\(name)'") == true)
                }
                seen += 1
            }
            #expect(seen > 100)
            for offset in [0, 7, 8, 20, 100, 5000, file.dataOffset / 2, file.dataOffset - 1] {
                var bytes = whole
                bytes[offset] ^= 0x10
                try bytes.write(to: URL(filePath: damaged))
                let report = try Verifier(options: .init()).run(path: damaged)
                #expect(!report.passed && !report.structure.passed, "byte \(offset)")
            }
        }
    }

    @Test func sourceOfAnotherModelFails() throws {
        try withBundle("llama", probes: []) { _, path in
            let model = try CheckpointModel.open("\(fixtures)/vicuna-linear-rope")
            let report = try? Verifier(options: .init(source: model)).run(path: path)
            #expect(report?.passed != true)
        }
    }

    @Test func whatCannotRunIsThrown() {
        #expect(throws: CrayonError.self) { try Verifier(options: .init()).run(path: "\(fixtures)/none.crayon") }
        #expect(throws: CrayonError.self) {
            try Verifier(options: .init(probes: ["\(fixtures)/none.safetensors"])).run(path: "\(fixtures)/llama")
        }
    }
}
