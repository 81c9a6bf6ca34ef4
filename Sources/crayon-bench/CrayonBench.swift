import ArgumentParser
import CrayonKit
import Foundation

@main
struct CrayonBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crayon-bench",
        abstract: "Time Crayon's kernels and jobs against what the machine can do.",
        discussion: """
            Before the first benchmark and after the last, the machine's ceilings are measured: reading and copying memory, \
            OpenBLAS's matrix products, the disk. A result's share is that of its floor: the time that the bytes it must touch, \
            or the operations it must do, take at a ceiling. All threads, one thread and passes that measure the ceiling \
            again take turns; figures are medians. Jobs run on a synthetic model of InternLM2-7B's shapes with few layers, made in a temporary folder.

            Examples:
              crayon-bench --quick
              crayon-bench --only kernels --json kernels.json
              crayon-bench --only tg32 --only pp512 --layers 8
            """,
        version: Producer.version)

    @Option(name: .long, help: ArgumentHelp("kernels, jobs, or the name of one; repeat for more.", valueName: "name"))
    var only: [String] = []

    @Option(name: .long, help: ArgumentHelp("Cores to use; all of them by default.", valueName: "n"))
    var threads: Int?

    @Option(
        name: .long,
        help: ArgumentHelp("Write the results as JSON, too; - for standard output alone.", valueName: "file"))
    var json: String?

    @Option(name: .long, help: ArgumentHelp("Decoder layers of the jobs' model.", valueName: "n"))
    var layers = 4

    @Option(name: .long, help: ArgumentHelp("Rows of the vocabulary of the jobs' model.", valueName: "n"))
    var vocabulary = 32_000

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where the jobs' model is made and the disk is measured; the system's temporary folder by default.",
            valueName: "dir"))
    var folder: String?

    @Flag(name: .long, help: "Fewer and shorter runs: for a first look.")
    var quick = false

    @Flag(name: .long, help: "Do not time one thread beside all.")
    var allThreadsOnly = false

    @Flag(name: .long, help: "List the benchmarks and stop.")
    var list = false

    func validate() throws {
        for (option, value) in [("--threads", threads ?? 1), ("--layers", layers), ("--vocabulary", vocabulary)]
        where value < 1 {
            throw ValidationError("\(option) \(value); expected at least 1")
        }
    }

    func run() throws {
        BLAS.prepare()
        try KernelVariant.checkEnvironment()
        try Parallel.checkEnvironment()
        if let threads { Parallel.threadCount = threads }
        let folder = folder ?? FileManager.default.temporaryDirectory.path
        let model = JobModel(folder: folder, layers: layers, vocabulary: vocabulary)
        // The thread that watches for signals holds it to the end.
        defer { model.remove() }
        let benchmarks = try BenchmarkSuite.all(model: model).selected(by: only)
        if list { return print(BenchmarkText.list(benchmarks)) }

        let machine = Machine.current
        let usesDisk = benchmarks.contains { $0.name == "quantize-file" } || only.isEmpty
        Self.removeOnSignal(model)
        let probe = CeilingProbe()
        note("measuring the machine")
        var ceilings = [
            try Ceilings.measure(probe, threads: Parallel.threadCount, folder: usesDisk ? folder : nil, quick: quick)
        ]
        let runner = BenchmarkRunner(
            plan: quick ? .quick : TimingPlan(), threads: Parallel.threadCount, comparesThreads: !allThreadsOnly)
        var results: [BenchmarkResult] = []
        for benchmark in benchmarks {
            note("\(benchmark.name): \(benchmark.summary)")
            results.append(try runner.run(benchmark, probe: probe))
        }
        note("measuring the machine again")
        ceilings.append(
            try Ceilings.measure(probe, threads: Parallel.threadCount, folder: usesDisk ? folder : nil, quick: quick))
        let report = BenchmarkReport(machine: machine, ceilings: ceilings, results: results)
        if json != "-" { print(BenchmarkText.render(report)) }
        guard let json else { return }
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(report)) + [UInt8(ascii: "\n")]
        if json == "-" {
            FileHandle.standardOutput.write(Data(bytes))
        } else {
            try AtomicFile.write(bytes, to: json)
        }
    }

    /// Has the model's folder taken away when the process is told to end, which a signal handler may not do itself.
    private static func removeOnSignal(_ model: JobModel) {
        StopSignal.watch()
        Thread {
            while true {
                if let signal = StopSignal.received {
                    model.remove()
                    StopSignal.die(of: signal)
                }
                usleep(100_000)
            }
        }.start()
    }

    private func note(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as CrayonError {
            FileHandle.standardError.write(Data("error: \(error)\n".utf8))
            exit(withError: ExitCode(2))
        } catch  where exitCode(for: error) == .validationFailure {
            FileHandle.standardError.write(Data("\(fullMessage(for: error))\n".utf8))
            exit(withError: ExitCode(2))
        } catch {
            exit(withError: error)
        }
    }
}
