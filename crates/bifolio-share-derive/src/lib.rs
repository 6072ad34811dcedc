//! The derive macro of `bifolio_share::Shared`.
//!
//! It writes down the layout; that a type has no padding and no references is for `zerocopy`'s own
//! derives to see to, which the trait asks for.
#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Path, parse_macro_input};

/// Derives `bifolio_share::Shared` for structures that are `repr(C)` or `repr(transparent)`, and for
/// enumerations without fields whose representation is an integer.
///
/// The name in the layout is the type's, or that of `#[shared(name = "...")]`. Who has the trait from
/// elsewhere than `bifolio_share` says so: `#[shared(crate = "bifolio::share")]`.
#[proc_macro_derive(Shared, attributes(shared))]
pub fn derive_shared(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn derive(input: &DeriveInput) -> Result<TokenStream, Error> {
    let refuse = |why: &str| Error::new(input.ident.span(), format!("`Shared` {why}"));
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new(
            parameter.span(),
            "`Shared` cannot be derived for generic types: their layout has no one name",
        ));
    }
    let representation = Representation::of(input)?;
    let Wishes { name, home } = Wishes::of(input)?;
    let layout = match &input.data {
        Data::Struct(data) => {
            if !representation.keeps_order {
                return Err(refuse("needs #[repr(C)], so that the fields lie as they are written"));
            }
            structure(&name, &data.fields)
        }
        Data::Enum(data) => {
            if !representation.is_integer {
                return Err(refuse("needs an enumeration to have a size, such as #[repr(u8)]"));
            }
            let mut variants = Vec::new();
            for variant in &data.variants {
                if !matches!(variant.fields, Fields::Unit) {
                    return Err(Error::new(
                        variant.span(),
                        "`Shared` cannot be derived for a variant with fields: store a number and \
                         the fields beside it",
                    ));
                }
                let ident = &variant.ident;
                let text = ident.to_string();
                variants.push(quote!(__bifolio_share::shared::Variant::new(
                    #text, Self::#ident as i128
                )));
            }
            quote!(__bifolio_share::shared::Layout::enumeration(
                #name,
                ::core::mem::size_of::<Self>(),
                ::core::mem::align_of::<Self>(),
                &[#(#variants),*],
            ))
        }
        Data::Union(_) => {
            return Err(refuse("cannot be derived for a union: nobody knows which field is meant"));
        }
    };
    let ident = &input.ident;
    Ok(quote! {
        const _: () = {
            use #home as __bifolio_share;
            impl __bifolio_share::Shared for #ident {
                const SHARED_LAYOUT: __bifolio_share::shared::Layout = #layout;
            }
            assert!(
                !::core::mem::needs_drop::<#ident>(),
                "bytes in shared memory are never dropped: a `Shared` type has no `Drop`",
            );
        };
    })
}

fn structure(name: &str, fields: &Fields) -> TokenStream {
    let fields = fields.iter().enumerate().map(|(number, field)| {
        let member = match &field.ident {
            Some(ident) => quote!(#ident),
            None => {
                let index = syn::Index::from(number);
                quote!(#index)
            }
        };
        let text = field.ident.as_ref().map_or_else(|| number.to_string(), ToString::to_string);
        let kind = &field.ty;
        quote!(__bifolio_share::shared::Field::new(
            #text,
            ::core::mem::offset_of!(Self, #member),
            &<#kind as __bifolio_share::Shared>::SHARED_LAYOUT,
        ))
    });
    quote!(__bifolio_share::shared::Layout::structure(
        #name,
        ::core::mem::size_of::<Self>(),
        ::core::mem::align_of::<Self>(),
        &[#(#fields),*],
    ))
}

/// What the `repr` attributes say.
#[derive(Default)]
struct Representation {
    keeps_order: bool,
    is_integer: bool,
}

impl Representation {
    fn of(input: &DeriveInput) -> Result<Self, Error> {
        let mut found = Self::default();
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
            attribute.parse_nested_meta(|meta| {
                let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match word.as_str() {
                    "C" | "transparent" => found.keeps_order = true,
                    "align" => {
                        let inside;
                        syn::parenthesized!(inside in meta.input);
                        inside.parse::<syn::LitInt>()?;
                    }
                    "packed" => {
                        return Err(meta.error(
                            "`Shared` cannot be derived for a packed type: its fields would not \
                             lie at multiples of their sizes",
                        ));
                    }
                    "usize" | "isize" => {
                        return Err(meta.error(
                            "`Shared` needs a size that is the same everywhere, such as u8",
                        ));
                    }
                    _ => found.is_integer = true,
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// What the attribute says.
struct Wishes {
    /// The name in the layout.
    name: String,
    /// Where the trait is.
    home: Path,
}

impl Wishes {
    fn of(input: &DeriveInput) -> Result<Self, Error> {
        let home = syn::parse_quote!(::bifolio_share);
        let mut found = Self { name: input.ident.to_string(), home };
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("shared"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    let text: LitStr = meta.value()?.parse()?;
                    if text.value().is_empty() || text.value().contains(['\t', '\n']) {
                        let why = "a name has letters, no tabs, no line breaks";
                        return Err(Error::new(text.span(), why));
                    }
                    found.name = text.value();
                } else if meta.path.is_ident("crate") {
                    found.home = meta.value()?.parse::<LitStr>()?.parse()?;
                } else {
                    let why = "the attributes are #[shared(name = \"...\", crate = \"...\")]";
                    return Err(meta.error(why));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}
