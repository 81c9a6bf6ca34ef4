import Dispatch
public import Models
public import Tokenization

extension VisionLanguageModel {
    /// One answer as a stream of text pieces, made on a thread of its own. Ending the iteration early ends the work at the
    /// next token.
    ///
    ///     for try await piece in model.answer(input, tokenizer: tokenizer) { print(piece, terminator: "") }
    public func answer(
        _ input: ModelInput, tokenizer: any Tokenizer, options: GenerationOptions = GenerationOptions(),
        stop: [String] = []
    ) -> AsyncThrowingStream<String, any Error> {
        AsyncThrowingStream { continuation in
            // A queue's thread: prefill would block one of the few that Swift's tasks share.
            DispatchQueue.global(qos: .userInitiated).async {
                do {
                    let generator = Generator(model: self, tokenizer: tokenizer)
                    _ = try generator.generate(input, options: options, stop: stop) { piece in
                        if case .terminated = continuation.yield(piece) { throw CancellationError() }
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
        }
    }
}
