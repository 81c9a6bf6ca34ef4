/// How a conversation becomes text. Templates are data and live in the bundle.
///
/// The prompt of a conversation is `begin`, `image` once for every picture, `objects` with
/// `{objects}` replaced where a panoptic map is there, then for each turn `user` with `{question}` replaced
/// and `assistant`; an answered turn is followed by `answer` with `{answer}` replaced.
/// `<image>` marks where a picture's embeddings stand. Where `user` has `{images}`, the pictures stand there.
public struct PromptTemplate: Codable, Equatable, Sendable {
    public var name: String
    public var begin: String
    public var image: String
    /// Empty where the model is not told its objects in words.
    public var objects: String
    public var user: String
    public var assistant: String
    public var answer: String
    /// Texts that end an answer; not part of it.
    public var stop: [String]

    public init(
        name: String, begin: String, image: String, objects: String, user: String, assistant: String, answer: String,
        stop: [String]
    ) {
        self.name = name
        self.begin = begin
        self.image = image
        self.objects = objects
        self.user = user
        self.assistant = assistant
        self.answer = answer
        self.stop = stop
    }

    private static let system =
        "AI assistant should give helpful and detailed answers to user after fully understanding an image."

    /// The paper, section 3: `User: {}`, `Assistant: {}`, `<stop>` ends a turn.
    public static let paper = PromptTemplate(
        name: "paper", begin: "", image: "<image>\n", objects: "", user: "User: {question}\n", assistant: "Assistant:",
        answer: " {answer}<stop>\n", stop: ["<stop>"])

    /// The published demo, with the objects told in words. It cuts its answers at InternLM2's end of a turn.
    public static let demo = PromptTemplate(
        name: "demo", begin: system, image: " <image>", objects: "", user: " USER: {objects}{question}",
        assistant: " ASSISTANT:", answer: " {answer}", stop: ["[UNUSED_TOKEN_145]", "</s>"])

    /// The published evaluation code: InternLM2's chat form, with the objects told in words.
    public static let evaluation = PromptTemplate(
        name: "evaluation", begin: system, image: " <image>", objects: "",
        user: " [UNUSED_TOKEN_146]user\n{objects}{question}[UNUSED_TOKEN_145]\n",
        assistant: "[UNUSED_TOKEN_146]assistant\n", answer: "{answer}[UNUSED_TOKEN_145]\n",
        stop: ["[UNUSED_TOKEN_145]", "</s>"])

    /// The question alone, for text models without a chat form.
    public static let plain = PromptTemplate(
        name: "plain", begin: "", image: "<image>", objects: "", user: "{question}", assistant: "",
        answer: "{answer}\n",
        stop: [])

    public static let vicuna = PromptTemplate(
        name: "vicuna",
        begin: "A chat between a curious user and an artificial intelligence assistant. "
            + "The assistant gives helpful, detailed, and polite answers to the user's questions.",
        image: " <image>", objects: "", user: " USER: {question}", assistant: " ASSISTANT:", answer: " {answer}</s>",
        stop: ["</s>"])

    /// LLaVA-1.5: its chat template, with the end token behind answers that LLaVA was trained with.
    public static let llava = PromptTemplate(
        name: "llava", begin: "", image: "<image>\n", objects: "", user: "USER: {images}{question}",
        assistant: " ASSISTANT:", answer: " {answer}</s>", stop: ["</s>"])

    public static let builtIn: [PromptTemplate] = [.demo, .evaluation, .llava, .paper, .plain, .vicuna]
}
