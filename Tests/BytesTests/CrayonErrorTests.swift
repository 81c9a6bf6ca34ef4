import Bytes
import Testing

@Test func anErrorSaysPlaceItemFoundExpectedAndAdvice() {
    let error = CrayonError(
        .mismatch, in: "a.safetensors", item: "tensor 'w'", found: "shape [2, 3]", expected: "[3, 2]",
        advice: "Transpose it.")
    #expect(error.description == "a.safetensors: tensor 'w': shape [2, 3]; expected [3, 2]. Transpose it.")
}
