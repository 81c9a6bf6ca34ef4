import Bytes
import JSON

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A folder that was downloaded or unpacked, and so is not trusted to stay within itself: names that climb
/// out of it and links that point out of it are refused. Its small files end up in bundles, and a link
/// to a private file must not.
///
/// One kind of link out is followed: Hugging Face's cache keeps a snapshot as links into the `blobs` folder
/// beside `snapshots`.
struct FolderFiles: Sendable {
    /// As the user named it.
    let path: String
    private let realPath: String
    /// `…/models--ORG--NAME/blobs/` when the folder is `…/models--ORG--NAME/snapshots/REVISION`.
    private let blobs: String?
    /// Files in memory in place of a folder's: those that a model in one file would have beside it.
    private let made: [String: ByteRegion]?

    /// - Throws: `CrayonError` when `path` is no folder.
    init(path: String) throws(CrayonError) {
        guard let real = Self.resolve(path) else { throw .system(errno, in: path, while: "opening the folder") }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw CrayonError(.io, in: path, found: "not a folder", expected: "a folder")
        }
        self.path = path
        realPath = real
        let parts = real.split(separator: "/")
        if parts.count >= 2, parts[parts.count - 2] == "snapshots" {
            blobs = "/" + parts.dropLast(2).joined(separator: "/") + "/blobs/"
        } else {
            blobs = nil
        }
        made = nil
    }

    /// - Parameter file: the file that the others were made from, for errors.
    init(of file: String, made files: [AuxiliaryFile]) {
        path = file
        realPath = file
        blobs = nil
        made = Dictionary(uniqueKeysWithValues: files.map { ($0.name, $0.region) })
    }

    /// The folder that holds a file named by the user.
    init(containing file: String) throws(CrayonError) {
        let parts = file.split(separator: "/", omittingEmptySubsequences: true).dropLast()
        let folder = (file.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
        try self.init(path: folder.isEmpty ? "." : folder)
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    static func isFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// The path of a file in the folder; nil when there is none of that name.
    /// - Parameter name: relative to the folder; may come from a file that is not trusted.
    /// - Throws: `CrayonError` when the name or a link leads out of the folder.
    func path(of name: String) throws(CrayonError) -> String? {
        guard made == nil else { return nil }
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard !name.isEmpty, !name.utf8.contains(0), !parts.contains(".."), !parts.contains("") else {
            throw CrayonError(
                .malformed, in: path, item: "file name '\(name)'", found: "a name that leaves the folder",
                expected: "the name of a file in it")
        }
        let full = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
        guard let real = Self.resolve(full) else {
            if errno == ENOENT || errno == ENOTDIR {
                // A link whose target is gone is not the same as no file.
                var status = stat()
                if lstat(full, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
                    throw CrayonError(
                        .missing, in: full, found: "a link to a file that is not there",
                        advice: "Download the file again.")
                }
                return nil
            }
            throw .system(errno, in: full, while: "following the path")
        }
        let root = realPath == "/" ? "/" : realPath + "/"
        guard real.hasPrefix(root) || blobs.map({ real.hasPrefix($0) }) == true else {
            throw CrayonError(
                .malformed, in: full, found: "a link that leaves the folder, to '\(real)'",
                expected: "a file in the folder, or a link into the blobs of a Hugging Face cache",
                advice: "Copy the file into the folder if you trust it.")
        }
        return full
    }

    /// The file mapped; nil when there is none of that name.
    func open(_ name: String) throws(CrayonError) -> MappedFile? {
        guard let file = try path(of: name) else { return nil }
        return try MappedFile(path: file)
    }

    /// The file's bytes; nil when there is none of that name.
    func bytes(_ name: String) throws(CrayonError) -> ByteRegion? {
        if let made { return made[name] }
        return try open(name)?.whole
    }

    /// The file as JSON that holds an object; nil when there is none of that name.
    func reader(_ name: String) throws(CrayonError) -> JSONReader? {
        if let made {
            guard let region = made[name] else { return nil }
            let place = "\(path): \(name)"
            return try JSONReader(JSONValue.parse(region.buffer, name: place), place: place)
        }
        guard let file = try path(of: name) else { return nil }
        return try JSONReader(file: file)
    }

    /// The names in the folder that end in `suffix`, sorted.
    func names(endingIn suffix: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(suffix), !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    private static func resolve(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}
