import ArgumentParser

@main
struct Crayon: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crayon", abstract: "Convert, quantize, run and verify vision-language models.")
}
