import Synchronization

/// Features of the pictures of several prompts, so that a picture is seen once.
public final class FeatureStore: Sendable {
    private struct Contents {
        /// The latest used last.
        var seen: [(image: ImageInput, features: ImageFeatures)] = []
        var computedCount = 0
    }

    private let contents = Mutex(Contents())
    /// Pictures that are kept.
    public let limit: Int

    /// - Parameter limit: pictures to keep, the latest used; a picture's features take as much memory as its positions'
    ///   hidden states, twice where there is a crayon prompt.
    public init(limit: Int = .max) {
        precondition(limit > 0)
        self.limit = limit
    }

    /// How many times a picture has gone through the vision tower.
    public var computedCount: Int { contents.withLock { $0.computedCount } }

    func features(of image: ImageInput) -> ImageFeatures? {
        contents.withLock { contents in
            guard let index = contents.seen.lastIndex(where: { $0.image == image }) else { return nil }
            let found = contents.seen.remove(at: index)
            contents.seen.append(found)
            return found.features
        }
    }

    func insert(_ features: ImageFeatures, of image: ImageInput) {
        contents.withLock { contents in
            contents.computedCount += 1
            contents.seen.append((image, features))
            if contents.seen.count > limit { contents.seen.removeFirst() }
        }
    }
}
