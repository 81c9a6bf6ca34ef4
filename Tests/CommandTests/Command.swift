import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where the repository lies, and what of it the tests run on.
enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let sample = root.appending(path: "Scripts/sample").path
    static let checkpoint = "\(sample)/checkpoint"
    static let probes = ["000-class", "000-presence", "002-box"].map { "\(sample)/probes/\($0).safetensors" }
    static let scene = "\(sample)/scenes/000"
    /// The first picture with its panoptic map.
    static let picture = [
        "--image", "\(scene).png", "--panoptic", "\(scene)_panoptic.png", "--segments", "\(scene)_segments.json",
    ]
}

/// The built command, run as a shell would run it.
struct Command {
    var status: Int32 = 0
    /// Whether a signal ended it; `status` is then the signal.
    var isSignalled = false
    var output = ""
    var errors = ""

    /// The build puts it beside the tests' own program.
    static let path = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "crayon").path

    /// A process with the given words, not yet started; help is wrapped at 80 columns.
    static func process(_ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(["COLUMNS": "80"]) { $1 }
        return process
    }

    /// Runs it to its end.
    init(_ arguments: String..., input: String = "") throws { try self.init(arguments, input: input) }

    init(_ arguments: [String], input: String = "") throws {
        let process = Self.process(arguments)
        let (standardInput, standardOutput, standardError) = (Pipe(), Pipe(), Pipe())
        process.standardInput = standardInput
        process.standardOutput = standardOutput
        process.standardError = standardError
        try process.run()
        // Small enough for the pipe, so nothing waits for anything.
        try standardInput.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try standardInput.fileHandleForWriting.close()
        // Both at once: a full pipe would stop the command.
        let errors = Mailbox()
        let thread = Thread { errors.fill(standardError.fileHandleForReading.readDataToEndOfFile()) }
        thread.start()
        output = String(decoding: standardOutput.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        self.errors = String(decoding: errors.wait(), as: UTF8.self)
        process.waitUntilExit()
        status = process.terminationStatus
        isSignalled = process.terminationReason == .uncaughtSignal
    }

    /// Starts it as a shell would, in silence: threads of a test have signals blocked, which a child inherits.
    /// - Parameter errors: a file for standard error.
    static func start(
        _ arguments: [String], environment: [String: String] = [:], errors: String = "/dev/null"
    ) throws -> pid_t {
        var attributes = posix_spawnattr_t()
        var signals = sigset_t()
        try #require(posix_spawnattr_init(&attributes) == 0 && sigemptyset(&signals) == 0)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var actions = posix_spawn_file_actions_t()
        try #require(posix_spawn_file_actions_init(&actions) == 0)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, O_WRONLY | O_CREAT, 0o644)
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        var words = ([Command.path] + arguments).map { strdup($0) } + [nil]
        var settings = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { for word in words + settings { free(word) } }
        var process: pid_t = 0
        try #require(posix_spawn(&process, Command.path, &actions, &attributes, &words, &settings) == 0)
        return process
    }

    /// Standard output as JSON.
    var json: [String: Any] {
        get throws { try #require(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]) }
    }
}

/// Bytes that another thread hands over.
private final class Mailbox: @unchecked Sendable {
    private let isFull = DispatchSemaphore(value: 0)
    private var data = Data()

    func fill(_ data: Data) {
        self.data = data
        isFull.signal()
    }

    func wait() -> Data {
        isFull.wait()
        return data
    }
}

/// A folder that goes away.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

/// The sample as a 4-bit bundle, made once by the command for all tests that only read it.
enum SampleBundle {
    static let path = Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-sample-\(getpid())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        atexit {
            let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-sample-\(getpid())").path
            try? FileManager.default.removeItem(atPath: folder)
        }
        let path = "\(folder)/sample.crayon"
        let probes = Repository.probes.flatMap { ["--probe", $0] }
        let made = try Command(["quantize", Repository.checkpoint, "-o", path, "--quiet"] + probes)
        try #require(made.status == 0 && made.output.isEmpty, "\(made.errors)")
        return path
    }
}
