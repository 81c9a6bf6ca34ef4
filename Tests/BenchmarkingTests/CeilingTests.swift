import Benchmarking
import Bytes
import Foundation
import Testing

/// That the ceilings come out, never how high.
@Suite struct CeilingTests {
    @Test func diskLeavesNothingBehind() throws {
        try withFolder { folder in
            let disk = try DiskCeiling.measure(folder: folder, byteCount: 8 << 20)
            #expect(disk.byteCount == 8 << 20 && disk.readRate > 0 && disk.writeRate > 0)
            #expect((0...1).contains(disk.cachedShare))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }

    @Test func diskNamesTheFolder() throws {
        let error = #expect(throws: CrayonError.self) {
            try DiskCeiling.measure(folder: "/nowhere/at/all", byteCount: 1 << 20)
        }
        #expect(error?.code == .missing && error?.place.hasPrefix("/nowhere/at/all") == true)
    }

    @Test func machineKnowsItself() {
        let machine = Machine.current
        #expect(!machine.processor.isEmpty && machine.cores > 0 && machine.memoryBytes > 1 << 20)
        #expect(!machine.kernels.isEmpty && !machine.blas.isEmpty && machine.cacheBytes > 1 << 10)
    }
}

/// A folder that goes away.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}
