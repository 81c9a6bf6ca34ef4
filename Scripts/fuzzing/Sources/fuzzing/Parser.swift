import CrayonKit
import Foundation

/// Something that is fed with files from anywhere. It may refuse them with a `CrayonError` and do nothing else: no trap, no hang, no
/// memory beyond what libFuzzer allows.
protocol Parser {
    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError)
}

extension Parser {
    func take(_ bytes: UnsafeRawBufferPointer) {
        do throws(CrayonError) {
            try parse(bytes)
        } catch {
            // Errors are made into text as the command does it: that must hold as well.
            precondition(!error.description.isEmpty)
        }
    }
}

/// The input as a file.
struct InputFile {
    let path: String
    private let descriptor: Int32

    init(_ path: String) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        precondition(descriptor >= 0)
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        ftruncate(descriptor, 0)
        precondition(pwrite(descriptor, bytes.baseAddress, bytes.count, 0) == bytes.count)
    }
}

/// Files of the repository that an input is put beside.
enum Repository {
    static func path(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../../\(name)").standardized.path
    }

    static func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path(name)))) }
}

extension Checkpoint {
    /// Asks for everything.
    func readAll() throws(CrayonError) {
        var failure: CrayonError?
        for name in names {
            do throws(CrayonError) {
                guard let entry = entry(name) else { preconditionFailure("\(name) is listed and not there") }
                guard let tensor = try tensor(name) else { preconditionFailure("\(name) has an entry and no tensor") }
                precondition(tensor.shape == entry.shape && tensor.type == entry.type)
                tensor.region.buffer.touch()
                _ = try weight(name)
            } catch {
                failure = error
            }
        }
        try checkUnchanged()
        if let failure { throw failure }
    }
}

extension UnsafeRawBufferPointer {
    /// Reads every page.
    func touch() {
        var sum: UInt8 = 0
        for index in stride(from: 0, to: count, by: 512) { sum ^= self[index] }
        if let last { sum ^= last }
        withExtendedLifetime(sum) {}
    }
}
