public import Bytes
public import Tensors

extension Tensor {
    /// That a tensor of an adapter is of finite floats. PEFT takes integers and NaN without a word, so each is read through.
    /// - Throws: `CrayonError` naming the tensor.
    public func checkFactor(in place: String) throws(CrayonError) {
        guard type.isFloat else {
            throw CrayonError(
                .unsupported, in: place, item: "tensor '\(name)'", found: "elements of type \(type.rawValue)",
                expected: "F32, F16, BF16 or F64",
                advice:
                    "A quantized adapter must be saved again in a float type: PEFT would take its codes for numbers.")
        }
        let bad = withExtendedLifetime(self) {
            FiniteScan.firstBad(region.baseAddress, type: type, count: shape.count)
        }
        if let bad {
            throw CrayonError(
                .notFinite, in: place, item: "tensor '\(name)'", found: "NaN or infinity at index \(bad)",
                expected: "finite numbers", advice: "The training run diverged; take an earlier checkpoint of it.")
        }
    }
}
