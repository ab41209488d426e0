import Glibc

/// An error of an unusable mail file, described so that a person can act on it.
enum MailFileError: Error, Hashable, CustomStringConvertible {
    /// The path is something else, which must not be overwritten.
    case notMailFile(path: String, offset: Int)
    /// A system call failed. `call` is its name.
    case system(path: String, call: String, code: Int32)
    /// The file is not open, because another process writes it.
    case notOpen(path: String)

    /// The problem and its remedy.
    var description: String {
        switch self {
        case .notMailFile(let path, let offset):
            "\(path) is no mailbox file: at byte \(offset) a line should begin with \"From \"; name another file in "
                + "mail.file, or move this one away"
        case .system(let path, let call, let code):
            "\(path): \(call): \(String(cString: strerror(code)))"
        case .notOpen(let path):
            "\(path) is written by another process, which has to end first"
        }
    }
}
