#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A folder that is filled under a name of its own and then renamed: with a signal that ends the process it goes, and what is in it.
public final class UnfinishedFolder: Sendable {
    public let path: String
    private let files: [String]

    /// Makes the folder.
    /// - Parameter files: the names that files will have in it.
    /// - Throws: `CrayonError` when it is there or cannot be made.
    public init(_ path: String, files names: [String]) throws(CrayonError) {
        self.path = path
        files = names.map { "\(path)/\($0)" }
        let (result, code) = Interruption.making(path) {
            let result = mkdir(path, 0o755)
            return (result, errno)
        }
        guard result == 0 else {
            Interruption.forget(path)
            throw .system(code, in: path, while: "creating the folder")
        }
        for file in files { Interruption.making(file) {} }
    }

    deinit {
        for file in files { Interruption.forget(file) }
        Interruption.forget(path)
    }
}
