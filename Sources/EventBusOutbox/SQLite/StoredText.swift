#if SQLite
internal import Foundation
internal import GRDB

/// A text in a column.
///
/// GRDB passes texts to SQLite as C strings, which end at the first NUL. A text that contains NUL is therefore stored as
/// a blob of its UTF-8 bytes. Without that, the ids `a\0b` and `a\0c` would be one, and the second event a duplicate.
struct StoredText: DatabaseValueConvertible {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    var databaseValue: DatabaseValue {
        text.utf8.contains(0) ? Data(text.utf8).databaseValue : text.databaseValue
    }

    /// Returns the text of a value, or `nil` for a blob without NUL, because the database does not find that by its text.
    static func fromDatabaseValue(_ value: DatabaseValue) -> StoredText? {
        switch value.storage {
        case .string(let text): StoredText(text)
        case .blob(let data) where data.contains(0): String(data: data, encoding: .utf8).map(StoredText.init)
        default: nil
        }
    }
}
#endif
