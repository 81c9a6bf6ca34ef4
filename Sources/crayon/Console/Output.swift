import ArgumentParser
import CrayonKit
import Foundation

/// Where a command's words go: results to standard output, everything about the work to standard error.
enum Output {
    static func print(_ text: String, terminator: String = "\n") {
        write(text + terminator, to: STDOUT_FILENO)
    }

    static func note(_ text: String, terminator: String = "\n") {
        write(text + terminator, to: STDERR_FILENO)
    }

    static func warn(_ text: String) { note("warning: \(text)") }

    /// A pipe that nobody reads (`crayon … | head`) ends the program without a complaint, as it does other tools. Words about
    /// the work are not worth ending it for.
    private static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes {
                Foundation.write(descriptor, $0.baseAddress! + done, bytes.count - done)
            }
            if written < 0 {
                if errno == EINTR { continue }
                let code = errno
                guard descriptor == STDOUT_FILENO else { return }
                AtomicFile.removeUnfinished()
                if code == EPIPE { Foundation.exit(0) }
                note("error: \(CrayonError.system(code, in: "standard output", while: "writing the result"))")
                Foundation.exit(2)
            }
            done += written
        }
    }

    /// Values as JSON with keys in snake case, sorted so that two runs can be compared.
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
