import Architecture
import Bytes
import Inference
import Models

/// Asks a model, several questions at a time where it is to be asked so. What questions have in common from the start, the
/// pictures above all, is computed once.
struct Questioning {
    private let model: ModelUnderTest
    private let generator: BatchGenerator
    private let options: GenerationOptions

    /// - Throws: `CrayonError` for a batch of no or of too many answers.
    init(_ model: ModelUnderTest, maxNewTokens: Int) throws(CrayonError) {
        self.model = model
        generator = try BatchGenerator(
            model: model.model, tokenizer: model.builder.tokenizer, size: model.batch)
        options = GenerationOptions(maxNewTokens: maxNewTokens)
    }

    /// The likeliest answers, token by token, to conversations that end in a question.
    func answers(to conversations: [[Turn]]) throws(CrayonError) -> [Generation] {
        var inputs: [ModelInput] = []
        for turns in conversations { inputs.append(try model.builder.input(turns)) }
        do {
            return try generator.generate(inputs, options: options, stop: model.builder.template.stop)
        } catch let error as CrayonError {
            throw error
        } catch {
            throw CrayonError(.io, in: model.name, found: "\(error)")
        }
    }
}
