//! Spelling with a limited repertoire: the characters of CEA-608 and substitutes for others.

use cea608_types::tables::{Channel, Code};

/// One column of CEA-608 text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Glyph {
    /// Shown by decoders without extended characters; the extended character overwrites it.
    pub(super) fallback: Option<Code>,
    /// The character.
    pub(super) code: Code,
}

/// A text in CEA-608, and the number of characters without a substitute.
pub(super) fn glyphs(text: &str, channel: Channel) -> (Vec<Glyph>, u64) {
    let (mut made, mut dropped) = (Vec::new(), 0);
    for c in text.chars() {
        if let Some(glyph) = glyph(c, channel) {
            made.push(glyph);
        } else if let Some(others) = substitute(c) {
            made.extend(others.chars().filter_map(|c| glyph(c, channel)));
        } else {
            dropped += 1;
        }
    }
    (made, dropped)
}

fn glyph(c: char, channel: Channel) -> Option<Glyph> {
    let c = match c {
        // The apostrophe of the basic set is curved; the straight one is an extended character that
        // looks the same on screen.
        '\'' | '`' | '´' | '‘' | 'ʼ' => '’',
        '„' | '‟' => '“',
        '‐' | '‑' => '-',
        '–' | '―' => '—',
        '\u{a0}' | '\u{202f}' | '\u{3000}' => ' ',
        c => c,
    };
    let code = Code::from_char(c, channel)?;
    if !code.needs_backspace() {
        return Some(Glyph { fallback: None, code });
    }
    let stand_in = substitute(c).and_then(|s| s.chars().next()).unwrap_or('-');
    let fallback = Code::from_char(stand_in, channel).filter(|code| code.byte_len() == 1);
    Some(Glyph { fallback: fallback.or(Some(Code::HyphenMinus)), code })
}

/// The substitute of a character: its letter without accent, or its transliteration. `None` for
/// scripts that Latin letters cannot transliterate; empty for characters without width.
pub(super) fn substitute(c: char) -> Option<&'static str> {
    if matches!(c, '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
    {
        return Some("");
    }
    let alike = LETTERS.iter().find(|(others, _)| others.contains(c)).map(|(_, letter)| *letter);
    alike.or_else(|| OTHERS.split(' ').find_map(|entry| entry.strip_prefix(c)))
}

/// Letters with their substitutes.
const LETTERS: [(&str, &str); 49] = [
    ("ÀÁÂÃÄÅĀĂĄǍ", "A"),
    ("àáâãäåāăąǎạảấầẩẫậắằẳẵặ", "a"),
    ("ÇĆĈĊČ", "C"),
    ("çćĉċč", "c"),
    ("ĎĐÐ", "D"),
    ("ďđð", "d"),
    ("ÈÉÊËĒĔĖĘĚ", "E"),
    ("èéêëēĕėęěẹẻẽếềểễệ", "e"),
    ("ĜĞĠĢ", "G"),
    ("ĝğġģ", "g"),
    ("ĤĦ", "H"),
    ("ĥħ", "h"),
    ("ÌÍÎÏĨĪĬĮİ", "I"),
    ("ìíîïĩīĭįıịỉ", "i"),
    ("Ĵ", "J"),
    ("ĵ", "j"),
    ("Ķ", "K"),
    ("ķ", "k"),
    ("ĹĻĽŁ", "L"),
    ("ĺļľł", "l"),
    ("ÑŃŅŇ", "N"),
    ("ñńņň", "n"),
    ("ÒÓÔÕÖØŌŎŐƠ", "O"),
    ("òóôõöøōŏőơọỏốồổỗộớờởỡợ", "o"),
    ("ŔŖŘ", "R"),
    ("ŕŗř", "r"),
    ("ŚŜŞŠȘ", "S"),
    ("śŝşšș", "s"),
    ("ŢŤŦȚ", "T"),
    ("ţťŧț", "t"),
    ("ÙÚÛÜŨŪŬŮŰŲƯ", "U"),
    ("ùúûüũūŭůűųưụủứừửữự", "u"),
    ("Ŵ", "W"),
    ("ŵ", "w"),
    ("ÝŶŸ", "Y"),
    ("ýÿŷỳỵỷỹ", "y"),
    ("ŹŻŽ", "Z"),
    ("źżž", "z"),
    ("‘’'´", "’"),
    ("“”„«»", "\""),
    ("—–", "-"),
    ("•·", "."),
    ("{", "("),
    ("}", ")"),
    ("|¦", "!"),
    ("\\", "/"),
    ("*^~_¤", "-"),
    ("¥", "Y"),
    ("¡", "!"),
];

/// Characters, each followed by its substitute: ligatures, signs, and Cyrillic and Greek as in ISO
/// 9 and ISO 843, without accents.
const OTHERS: &str = "\
    ÆAE æae ŒOE œoe ßs ẞSS ÞTh þth ŋng …... €EUR °deg ªa ºo ²2 ³3 ¼1/4 ¾3/4 ×x −- ≈~ ≤<= \
    ≥>= ©c ℠s †+ №No. ‹< ›> ♫♪ ♩♪ ♬♪ §S ±+/- µu ‰o/oo АA БB ВV ГG ДD ЕE ЁE ЖZh ЗZ ИI ЙJ \
    КK ЛL МM НN ОO ПP РR СS ТT УU ФF ХH ЦC ЧCh ШSh ЩShh Ъ ЫY Ь ЭE ЮYu ЯYa ІI ЇYi ЄYe ҐG \
    аa бb вv гg дd еe ёe жzh зz иi йj кk лl мm нn оo пp рr сs тt уu фf хh цc чch шsh \
    щshh ъ ыy ь эe юyu яya іi їyi єye ґg ΑA ΒV ΓG ΔD ΕE ΖZ ΗI ΘTh ΙI ΚK ΛL ΜM ΝN ΞX ΟO \
    ΠP ΡR ΣS ΤT ΥY ΦF ΧCh ΨPs ΩO αa βv γg δd εe ζz ηi θth ιi κk λl μm νn ξx οo πp ρr σs \
    ςs τt υy φf χch ψps ωo";

#[cfg(test)]
mod tests {
    use super::*;

    /// The text as a decoder displays it, and as one without extended characters does.
    fn shown(text: &str) -> (String, String, u64) {
        let (glyphs, dropped) = glyphs(text, Channel::ONE);
        let full = glyphs.iter().filter_map(|g| g.code.char()).collect();
        let basic = glyphs.iter().filter_map(|g| g.fallback.unwrap_or(g.code).char()).collect();
        (full, basic, dropped)
    }

    #[test]
    fn western_text_is_spelled_out() {
        let check = |text: &str, full: &str, basic: &str, dropped: u64| {
            assert_eq!(shown(text), (full.into(), basic.into(), dropped), "{text}");
        };
        check("Hello, world.", "Hello, world.", "Hello, world.", 0);
        check("It's", "It’s", "It’s", 0);
        check("señor ¿qué? ¡Épico!", "señor ¿qué? ¡Épico!", "señor ¿qué? !Epico!", 0);
        check("Größe Übung Äpfel", "Größe Übung Äpfel", "Grose Ubung Apfel", 0);
        check("naïve cœur ça", "naïve coeur ça", "naive coeur ça", 0);
        check("Łódź 5 € …", "Lódz 5 EUR ...", "Lódz 5 EUR ...", 0);
        check("Москва", "Moskva", "Moskva", 0);
        check("日本 ok", " ok", " ok", 2);
        check("e\u{301}", "e", "e", 0);
    }

    #[test]
    fn every_extended_character_has_a_stand_in_of_one_byte() {
        let mut seen = 0;
        for a in [0x12_u8, 0x13] {
            for b in 0x20..0x40_u8 {
                let data = [a, b].map(crate::captions::cc_data::with_parity);
                let [code, _] = Code::from_data(data).expect("parity is right");
                let Some(c) = code.char() else { continue };
                let made = glyph(c, Channel::ONE).expect("it is in the repertoire");
                if c != '\'' && c != '‘' {
                    seen += 1;
                    assert_eq!(made.fallback.map(|f| f.byte_len()), Some(1), "{c}");
                }
            }
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn what_stands_in_can_be_spelled() {
        let all = LETTERS.iter().map(|(_, s)| *s).chain(OTHERS.split(' ').map(|entry| {
            let mut rest = entry.chars();
            rest.next();
            rest.as_str()
        }));
        for c in all.flat_map(str::chars) {
            assert!(glyph(c, Channel::ONE).is_some(), "{c}");
        }
    }
}
