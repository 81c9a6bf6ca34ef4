import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Testing

/// Whatever byte of a bundle changes, opening or verifying must notice and say where.
@Suite struct Damage {
    /// The tensor that holds a byte; nil in the header.
    private func owner(of offset: Int, in file: SafetensorsFile) -> String? {
        file.names.first { file.range(of: $0)?.contains(offset) == true }
    }

    @Test func everyFlippedByteIsFoundAndNamed() throws {
        let folder = try TemporaryFolder()
        let manifest = try TinyModel.write(TinyModel.smallest, to: folder("a.crayon"))
        #expect(Set(manifest.weights.map(\.coding.kind)) == Set(BundleCoding.Kind.allCases))
        let whole = try folder.bytes("a.crayon")
        let file = try SafetensorsFile(path: folder("a.crayon"))
        var random = SplitMix(state: 3)
        // Every third byte of the data and its end; of the header the beginning, the end and a sample.
        let header = (0..<300).map { _ in Int(random.next() % UInt64(file.dataOffset)) }
        let positions =
            Array(0..<160) + header + Array(stride(from: file.dataOffset - 4, to: whole.count, by: 3))
            + Array(whole.count - 2000..<whole.count)
        // Bits are flipped in place and back: writing the file anew each time would take most of the test.
        try folder.write(whole, "b.crayon")
        let damaged = try FileHandle(forUpdating: URL(fileURLWithPath: folder("b.crayon")))
        defer { try? damaged.close() }
        func put(_ byte: UInt8, at offset: Int) throws {
            try damaged.seek(toOffset: UInt64(offset))
            try damaged.write(contentsOf: [byte])
        }
        for offset in positions {
            try put(whole[offset] ^ 1 << UInt8(random.next() % 8), at: offset)
            defer { try? put(whole[offset], at: offset) }
            let name = owner(of: offset, in: file)
            do {
                let bundle = try BundleReader(path: folder("b.crayon"))
                let bad = bundle.verifyDigests()
                #expect(name != nil, "header byte \(offset) went unnoticed")
                #expect(bad == [name], "byte \(offset)")
            } catch {
                // Damage that shows at open: anywhere in the header, else in tensors that opening reads.
                if let name {
                    #expect("\(error)".contains("tensor '\(name)'"), "byte \(offset) of \(name): \(error)")
                }
            }
        }
    }

    @Test func everyTruncationIsAnError() throws {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder("a.crayon"))
        let whole = try folder.bytes("a.crayon")
        for count in Array(stride(from: 0, to: whole.count, by: 97)) + [whole.count - 1] {
            try folder.write(Array(whole[..<count]), "b.crayon")
            #expect(throws: CrayonError.self, "cut at \(count)") { _ = try BundleReader(path: folder("b.crayon")) }
        }
        try folder.write(whole + [0], "b.crayon")
        #expect(throws: CrayonError.self) { _ = try BundleReader(path: folder("b.crayon")) }
    }

    @Test func aSafetensorsFileIsNoBundle() throws {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write([], to: folder("a.crayon"))
        let error = #expect(throws: CrayonError.self) { _ = try BundleReader(path: folder("a.crayon")) }
        #expect(error?.code == .unsupported)
    }
}
