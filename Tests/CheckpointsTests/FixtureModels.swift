import Checkpoints

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The model fixtures that several test targets share.
enum FixtureModels {
    static let root: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fixtures/models"
    }()

    static func path(_ name: String) -> String { "\(root)/\(name)" }
}

/// A folder that goes away with the value.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/crayon-checkpoints-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        if let folder = opendir(path) {
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                guard name != ".", name != ".." else { continue }
                let child = "\(path)/\(name)"
                if entry.pointee.d_type == UInt8(DT_DIR) { remove(child) } else { unlink(child) }
            }
        }
        rmdir(path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    @discardableResult
    func write(_ bytes: [UInt8], _ name: String) -> String {
        // A new file each time: overwriting one makes some file systems wait for the disk.
        unlink(file(name))
        let file = fopen(file(name), "wb")!
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
        return self.file(name)
    }

    @discardableResult
    func write(_ text: String, _ name: String) -> String { write(Array(text.utf8), name) }

    func folder(_ name: String) -> String {
        mkdir(file(name), 0o755)
        return file(name)
    }
}
