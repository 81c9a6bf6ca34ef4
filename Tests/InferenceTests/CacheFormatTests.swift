import Checkpoints
import Inference
import Layers
import Models
import Testing

/// Whole answers of the sample with keys and values in fewer bits.
@Suite struct CacheFormatTests {
    static let question =
        "Provide multiple object names with their numbering index and the objects' bounding box coordinates in this image."

    /// Lists of the objects in nine pictures: so many at least are to the letter what the float32 cache gives. With int8 all
    /// nine are on every variant tried; one may turn on logits that are as good as equal.
    @Test(arguments: [(KVCacheFormat.f32, 9), (.f16, 9), (.int8, 8)])
    func lists(_ format: KVCacheFormat, same: Int) throws {
        let tests = ChatTests()
        let wide = try tests.chat()
        let chat = try ChatSession(source: ChatTests.source.get(), options: .init(cacheFormat: format))
        var equal = 0
        for scene in ["000", "001", "002", "004", "005", "006", "008", "009", "010"] {
            let picture = try tests.picture(scene)
            wide.reset()
            chat.reset()
            let expected = try wide.ask(Self.question, pictures: [picture])
            let found = try chat.ask(Self.question, pictures: [picture])
            #expect(found.reason == .stopText && found.text.hasPrefix("Sure, it is (#1 "))
            if found.tokens == expected.tokens { equal += 1 }
        }
        #expect(equal >= same)
    }
}
