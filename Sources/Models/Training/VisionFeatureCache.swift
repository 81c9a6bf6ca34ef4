import Bytes
import Tensors

/// What the frozen tower made of pictures, so that a picture that comes again (the next question about it, the next
/// epoch) is not looked at again. The oldest make room.
final class VisionFeatureCache {
    private let byteCount: Int
    private var held = 0
    private var features: [SHA256Digest: Matrix] = [:]
    private var order: [SHA256Digest] = []
    private var oldest = 0

    init(byteCount: Int) { self.byteCount = byteCount }

    func features(of image: ImageInput, compute: () -> Matrix) -> Matrix {
        let key = image.pixels.withUnsafeBytes { SHA256Digest.of($0) }
        if let known = features[key] { return known }
        let made = compute()
        features[key] = made
        order.append(key)
        held += made.count * MemoryLayout<Float>.stride
        while held > byteCount, oldest < order.count - 1 {
            if let gone = features.removeValue(forKey: order[oldest]) {
                held -= gone.count * MemoryLayout<Float>.stride
            }
            oldest += 1
        }
        if oldest > 1024 {
            order.removeFirst(oldest)
            oldest = 0
        }
        return made
    }
}
