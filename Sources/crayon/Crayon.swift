import ArgumentParser
import CrayonKit

@main
struct Crayon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crayon",
        abstract: "Quantize, run and verify vision-language models with crayon prompts.",
        discussion: """
            A checkpoint becomes one 4-bit bundle; the bundle answers questions about pictures and is verified by \
            running it.

              crayon quantize CHECKPOINT -o model.crayon
              crayon inspect model.crayon
              crayon verify model.crayon --probe probe.safetensors
              crayon run model.crayon --image photo.jpg --panoptic photo.png \\
                --segments photo.json "What is in the box [0.1, 0.2, 0.5, 0.6]?"

            Exit codes: 0 done, 1 something did not hold (verify, repair), 2 could not run; a signal ends it by itself \
            (130 in a shell for Ctrl-C).
            """,
        version: Producer.version,
        subcommands: [
            Quantize.self, Inspect.self, Verify.self, Repair.self, Run.self, ExportCommand.self, Convert.self,
            AdapterCommand.self,
            DataCommand.self, TrainCommand.self, EvalCommand.self, Synthesize.self, Bench.self,
        ]
    )

    static func main() {
        StandardStreams.prepare()
        MappingFault.endsProcess()
        BLAS.prepare()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as CrayonError {
            Output.note("error: \(error)")
            exit(withError: ExitCode(2))
        } catch  where exitCode(for: error) == .validationFailure {
            Output.note(fullMessage(for: error))
            exit(withError: ExitCode(2))
        } catch  where exitCode(for: error) == .failure && !(error is ExitCode) {
            // 1 is kept for what was looked at and did not hold.
            Output.note("error: \(fullMessage(for: error))")
            exit(withError: ExitCode(2))
        } catch {
            exit(withError: error)
        }
    }
}
